package config_test

import (
	"io"
	"strings"
	"testing"

	"otad/board/config"
)

func TestRefusedValues(t *testing.T) {
	tests := []struct{ command, name, text, want string }{
		{"serve", "checkpoint", "65535", "from 64KiB to 64MiB"},
		{"serve", "checkpoint", "64.1MiB", "from 64KiB to 64MiB"},
		{"serve", "checkpoint", "-1MiB", "want a size"},
		{"serve", "checkpoint", "", "want a size"},
		{"serve", "checkpoint", "1,5MiB", "want a size"},
		{"fetch", "size", "20000000.9", "want a size"},
		{"serve", "min-free", "8EiB", "want a size"},
		{"serve", "keep", "-1", "want all or a whole number from 0 to 64"},
		{"serve", "keep", "65", "want all or a whole number from 0 to 64"},
		{"serve", "keep", "none", "want all or a whole number from 0 to 64"},
		{"serve", "max-size", "-1", "want a size"},
		{"serve", "min-free", "99999999999999999999999", "want a size"},
		{"serve", "min-free", "1 mile", "want a size"},
		{"serve", "rate-limit", "5", "at least 1KiB a second"},
		{"fetch", "size", "0", "at least 1"},
		{"serve", "checkpoint-interval", "-1s", "0 or more"},
		{"serve", "checkpoint-interval", "999ms", "0 or at least 1s"},
		{"serve", "min-rate", "-1", "want a size"},
		{"serve", "tls-min", "1.1", "want 1.2 or 1.3"},
		{"serve", "tls-min", "", "want 1.2 or 1.3"},
		{"fetch", "tls-min", "TLS 1.3", "want 1.2 or 1.3"},
		{"serve", "try-again", "", "off, or the first and the longest wait as in 10s..1h"},
		{"serve", "try-again", "0", "from 1s on"},
		{"serve", "try-again", "999ms..1h", "from 1s on"},
		{"serve", "try-again", "1h..10s", "first and the longest"},
		{"serve", "try-again", "10s..", "first and the longest"},
		{"serve", "try-again", "10s..20s..30s", "first and the longest"},
		{"serve", "try-again", "never", "want off"},
		{"serve", "retries", "-1", "from 0"},
		{"serve", "retries", "3.5", "whole number"},
		{"serve", "connect-timeout", "0", "above 0"},
		{"serve", "header-timeout", "-1s", "above 0"},
		{"serve", "read-timeout", "300", "such as 90s"},
		{"serve", "network-wait", "-1s", "0 or more"},
		{"serve", "retry-after-max", "soon", "such as 90s"},
		{"serve", "retry-status", "399", "from 400 to 599"},
		{"serve", "retry-status", "429,600", "from 400 to 599"},
		{"serve", "retry-status", "429,", "from 400 to 599"},
		{"serve", "listen", "127.0.0.1", "such as 127.0.0.1:12315"},
		{"serve", "listen", "127.0.0.1:http", "such as 127.0.0.1:12315"},
		{"serve", "listen", "127.0.0.1:65536", "such as 127.0.0.1:12315"},
		{"serve", "listen", "unix:api.sock", "unix:/run/otad/api.sock"},
		{"serve", "listen", "unix:", "unix:/run/otad/api.sock"},
		{"serve", "listen", "unix:/" + strings.Repeat("x", 107), "unix:/run/otad/api.sock"},
		{"serve", "listen", "127.0.0.1:1,127.0.0.1", "such as 127.0.0.1:12315"},
		{"serve", "listen", "/run/otad.sock", "such as 127.0.0.1:12315"},
		{"serve", "metrics-listen", "unix:/run/otad.sock", "such as 127.0.0.1:12315"},
		{"serve", "listen", "", "such as 127.0.0.1:12315"},
		{"serve", "metrics-listen", "9100", "such as 127.0.0.1:12315"},
		{"serve", "callback-url", "/cb", "absolute http or https URL"},
		{"serve", "callback-url", "ftp://host/cb", "absolute http or https URL"},
		{"serve", "callback-url", "http://:80/cb", "absolute http or https URL"},
		{"serve", "state-dir", "", "want a directory"},
		{"serve", "log-format", "xml", "text or json"},
		{"serve", "log-level", "loud", "debug, info, warn or error"},
		{"serve", "allow-http", "yes", "true or false"},
		{"graph", "format", "svg", "mermaid or dot"},
		{"fetch", "md5", md5[1:], "32 hex digits"},
		{"fetch", "md5", "g" + md5[1:], "32 hex digits"},
		{"fetch", "sha256", md5, "64 hex digits"},
		{"fetch", "version", "1.2", "such as 1.2.3"},
		{"fetch", "version", "1.2.x", "such as 1.2.3"},
		{"fetch", "version", strings.Repeat("1", 61) + ".2.3", "such as 1.2.3"},
	}
	for _, test := range tests {
		t.Run(test.name+" "+test.text, func(t *testing.T) {
			variable := "OTAD_" + strings.ToUpper(strings.ReplaceAll(test.name, "-", "_"))
			refuse(t, nil, append(command(test.command), "-"+test.name+"="+test.text), "-"+test.name+": ", test.want)
			refuse(t, []string{variable + "=" + test.text}, command(test.command), variable+": ", test.want)
			if test.text != "" {
				path := file(t, "# a comment", test.name+" "+test.text)
				refuse(t, nil, append(command(test.command), "-config", path), path+":2: "+test.name+": ", test.want)
			}
		})
	}
}

func TestRefusedCommandLines(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want []string
	}{
		{"nothing", nil, []string{"no command", "serve, fetch, status"}},
		{"unknown command", []string{"fetsh"}, []string{`"fetsh"`, "did you mean fetch?"}},
		{"a URL as the command", []string{link}, []string{"otad fetch [flags] URL"}},
		{"unknown flag", []string{"serve", "-read-timout", "1s"}, []string{"unknown flag -read-timout", "did you mean -read-timeout?"}},
		{"unknown flag like nothing", []string{"serve", "-x"}, []string{"unknown flag -x (see otad help serve)"}},
		{"flag without its value", []string{"serve", "-retries"}, []string{"-retries"}},
		{"another command's flag", []string{"serve", "-md5", md5}, []string{"-md5 is not a flag of otad serve but of otad fetch"}},
		{"two commands' flag", []string{"graph", "-retries", "1"}, []string{"otad serve and otad fetch"}},
		{"version takes no flags", []string{"version", "-json"}, []string{"otad status"}},
		{"no URL", []string{"fetch", "-md5", md5}, []string{"needs a URL"}},
		{"two URLs", []string{"fetch", "-md5", md5, link, link}, []string{"exactly one URL", "2"}},
		{"value of a boolean apart", []string{"serve", "-readback", "true"}, []string{"-replace=false"}},
		{"no digest", []string{"fetch", link}, []string{"-md5 or -sha256"}},
		{"certificate without key", []string{"serve", "-client-cert", "c.pem"}, []string{"-client-cert and -client-key"}},
		{"key without certificate", []string{"serve", "-client-key", "c.key"}, []string{"-client-cert and -client-key"}},
		{"least rate above the limit", []string{"serve", "-min-rate", "2KiB", "-rate-limit", "1KiB"}, []string{"-min-rate 2KiB", "-rate-limit 1KiB"}},
		{"another command's try-again", []string{"fetch", "-try-again", "off", link}, []string{"otad serve"}},
		{"help for nothing there", []string{"help", "fetsh"}, []string{"otad help takes one of"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { refuse(t, nil, test.args, test.want...) })
	}
}

func TestURLsStayOutOfErrors(t *testing.T) {
	for _, args := range [][]string{
		{link},
		{"serve", link},
		{"fetch", link, link, "-md5", md5},
		{"fetch", "-md5", link},
		{"fetch", "-size", link, link},
		{"fetch", "-name", link, link, "-md5", md5},
		{"fetch", "https://host/%zz?SECRET", "-md5", md5},
		{"fetch", "https://host/?SECRET", "-md5", md5},
		{"serve", "-callback-url", "http://%zz/?SECRET"},
		{"serve", "-callback-url", "host/?SECRET"},
		{"serve", "-config", link},
		{"check-config", "-config", file(t, link)}, // TestServeIgnoresUnknownNames has serve
		{"serve", "-config", file(t, "retries "+link)},
		{"help", link},
	} {
		_, err := config.Parse(args, nil, io.Discard)
		if err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%q: %v", args, err)
		}
	}
}
