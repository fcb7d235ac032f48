package deviceapi_test

import (
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"otad/board/deviceapi"
)

func getPage(version, method, host string) *httptest.ResponseRecorder {
	h := deviceapi.New(deviceapi.Config{Addrs: []string{"127.0.0.1:12315"}, Log: slog.New(slog.DiscardHandler), Version: version})
	r := httptest.NewRequest(method, "/", nil)
	r.Host = host
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestPageAllowsOnlyItsOwnScriptAndStyle(t *testing.T) {
	w := getPage(`1.2.3<script>"`, "GET", "127.0.0.1:12315")
	body, policy := w.Body.String(), w.Header().Get("Content-Security-Policy")
	if w.Code != http.StatusOK || len(body) > 20_000 {
		t.Errorf("status %d, %d bytes", w.Code, len(body))
	}
	for _, tag := range []string{"style", "script"} {
		found := regexp.MustCompile("(?s)<"+tag+">(.*?)</"+tag+">").FindAllStringSubmatch(body, -1)
		if len(found) != 1 {
			t.Fatalf("%d elements %s", len(found), tag)
		}
		sum := sha256.Sum256([]byte(found[0][1]))
		if want := tag + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, want) {
			t.Errorf("the policy %q lacks %s", policy, want)
		}
	}
	if strings.Contains(policy, "unsafe") || !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") {
		t.Errorf("the policy is %q", policy)
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	if !strings.Contains(body, "otad 1.2.3&lt;script&gt;") {
		t.Error("the version is not shown, or not escaped")
	}
	if regexp.MustCompile(`https?://|//[a-z]|\bsrc=|\bhref=`).MatchString(body) {
		t.Error("the page names another resource")
	}
}

func TestPageIsReadOnlyAndBehindTheGuard(t *testing.T) {
	if w := getPage("1", "POST", "127.0.0.1:12315"); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST / is %d", w.Code)
	}
	if w := getPage("1", "GET", "evil.example"); w.Code == http.StatusOK || strings.Contains(w.Body.String(), "<html") {
		t.Errorf("under a foreign name the page is %d", w.Code)
	}
}
