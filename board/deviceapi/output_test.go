package deviceapi_test

import (
	"strings"
	"testing"

	"otad/board/deviceapi"
)

// A request names one of the daemon's devices. What it says is never a path.
func TestOutputIsOneOfTheDaemonsDevices(t *testing.T) {
	const refused = `"code":400,"msg":"VALIDATION_ERROR: output `
	for output, want := range map[string]string{
		`"slot-b"`:         "/dev/mmcblk0p3",
		`""`:               "",
		`null`:             "",
		`"slot-a"`:         refused + "is not one of the names",
		`"/dev/mmcblk0p3"`: refused + "is not one of the names",
		`7`:                refused + "is not a string",
	} {
		u := &updater{}
		api := deviceapi.New(deviceapi.Config{Updater: u, Addrs: []string{"127.0.0.1:12315"}, Log: quiet(),
			Output: func(name string) (string, bool) { return "/dev/mmcblk0p3", name == "slot-b" }})
		_, body := do(t, api, request("POST", "/api/v1.0/download", strings.Replace(goodJob, "{", `{"output":`+output+`,`, 1)))
		switch {
		case strings.HasPrefix(want, refused):
			if len(u.started) != 0 || !strings.Contains(body, want) {
				t.Errorf("output %s: started %v, answered %s", output, u.started, body)
			}
		case len(u.started) != 1 || u.started[0].Output != want:
			t.Errorf("output %s: started %v, want it on %q; answered %s", output, u.started, want, body)
		}
	}
	u := &updater{}
	if _, body := do(t, newAPI(u), request("POST", "/api/v1.0/download", strings.Replace(goodJob, "{", `{"output":"slot-b",`, 1))); len(u.started) != 0 {
		t.Errorf("a daemon without devices started %v: %s", u.started, body)
	}
}
