package deviceapi

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page
	"encoding/base64"
	"html"
	"net/http"
	"strconv"
)

//go:embed page.html
var pageHTML []byte

// page is GET /: the progress for a person. It shows and changes nothing.
type page struct {
	body   []byte
	policy string // Content-Security-Policy
}

// newPage returns the page of an otad of that version. The policy allows its one
// style, its one script and requests to its own origin, by the digests of the
// bytes that are served (https://www.w3.org/TR/CSP3/#match-element-to-source-list).
// No other page may frame it.
func newPage(version string) *page {
	body := bytes.Replace(pageHTML, []byte("<!--version-->"), []byte(html.EscapeString(version)), 1)
	return &page{body: body, policy: "default-src 'none'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" +
		"; style-src " + sourceOf(body, "style") + "; script-src " + sourceOf(body, "script")}
}

// sourceOf returns the hash source of the first element called tag.
func sourceOf(body []byte, tag string) string {
	_, after, _ := bytes.Cut(body, []byte("<"+tag+">"))
	content, _, _ := bytes.Cut(after, []byte("</"+tag+">"))
	sum := sha256.Sum256(content)
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func (p *page) serve(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(p.body)))
	h.Set("Content-Security-Policy", p.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(p.body) // a reader that has gone needs no reply
}
