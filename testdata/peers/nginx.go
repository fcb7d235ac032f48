package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"otad/testdata/certs"
	"otad/testdata/otadrun"
)

// slowLink is 10 Mbit/s, in bytes a second: the rate of nginx under /slow/.
const slowLink = 1250000

// nginx is Debian's, serving DIR/www on loopback.
type nginx struct {
	process *otadrun.Process
	url     string
	ca      string // PEM file to trust; empty without TLS
	log     string // one line a request: status, body bytes, Range header
}

func startNginx(dir string, secure bool) (*nginx, error) {
	addr, err := otadrun.FreeAddress("127.0.0.1")
	if err != nil {
		return nil, err
	}
	o := &nginx{url: "http://" + addr + "/package.bin", log: filepath.Join(dir, "access.log")}
	listen := "listen " + addr + ";"
	if secure {
		ca, err := certs.New(dir, "127.0.0.1")
		if err != nil {
			return nil, err
		}
		o.url, o.ca = "https://"+addr+"/package.bin", ca.CA
		listen = fmt.Sprintf("listen %s ssl; ssl_certificate %s; ssl_certificate_key %s;", addr, ca.Cert, ca.Key)
	}
	conf := fmt.Sprintf(`daemon off; master_process off; pid %[1]s/nginx.pid; error_log %[1]s/error.log;
events {}
http {
	log_format ranges '$status $body_bytes_sent "$http_range"';
	access_log %[1]s/access.log ranges;
	sendfile on; tcp_nopush on;
	client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
	server {
		%[2]s root %[1]s/www;
		location /slow/ { alias %[1]s/www/; limit_rate %[3]d; limit_rate_after 0; }
	}
}
`, dir, listen, slowLink)
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(conf), 0o644); err != nil {
		return nil, err
	}
	cmd := otadrun.Command("nginx", "-c", path, "-p", dir, "-e", filepath.Join(dir, "error.log"))
	cmd.Stderr = os.Stderr
	if o.process, err = otadrun.Start(cmd); err != nil {
		return nil, err
	}
	if err := o.process.AwaitListener(addr, 10*time.Second); err != nil {
		o.stop()
		return nil, err
	}
	return o, nil
}

func (o *nginx) stop() { o.process.Kill() }

// ranges are the Range headers of the requests so far, in order.
func (o *nginx) ranges() ([]int64, error) {
	f, err := os.Open(o.log)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []int64
	for lines := bufio.NewScanner(f); lines.Scan(); {
		_, text, _ := strings.Cut(lines.Text(), `"bytes=`)
		from, err := strconv.ParseInt(strings.TrimSuffix(text, `-"`), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("access log %q: %w", lines.Text(), err)
		}
		out = append(out, from)
	}
	return out, nil
}
