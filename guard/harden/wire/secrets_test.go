package wire_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"hauberk.dev/guard/harden/wire"
)

// TestARefusalRepeatsNoSecret breaks heads beside a secret: what is said of
// them goes to logs.
func TestARefusalRepeatsNoSecret(t *testing.T) {
	const secret = "hunter2"
	for _, raw := range []string{
		get("Cookie sid=" + secret),
		get("Authorization : Bearer " + secret),
		get("Authorization:", " Bearer "+secret),
		get(secret),
		get("Cookie: sid=" + secret + "\x01"),
		get("Cookie: sid="+secret, "X-A: b\x01"),
		get("Trailer: X/" + secret),
		get("Content-Length: 5, " + secret),
		get("Transfer-Encoding: chunked, " + secret),
		get("Expect: 100-continue, " + secret),
		head("GET /reset?token="+secret, host),
		head("GET /reset?q=a "+secret, host),
		head("GET /reset?q=a "+secret+" HTTP/1.1", host),
		head("GET\t/reset?token="+secret+" HTTP/1.1", host),
		head(secret, host),
		head("/reset?token="+secret, host),
		head("{\"password\":\""+secret+"\"}", host),
		target("http://app.test?token=" + secret),
		target("http://me:" + secret + "@app.test/"),
		target("ftp://me:" + secret + "@app.test/"),
		target("?token=" + secret),
		target("token=" + secret),
		target("/reset?token=" + secret + "\x01"),
		target("/%zz?token=" + secret),
		head("GET http://app.test/?token="+secret+" HTTP/1.1", "Host: evil.test"),
		head("GET / HTTP/1.1", "Host: me:"+secret+"@app.test"),
		head("GET / HTTP/1.1", "Host: app.test/"+secret),
	} {
		s := serve(t, wire.Limits{}, nil)
		c := s.dial(t)
		fmt.Fprint(c, raw)
		answer, _ := io.ReadAll(c)
		c.Close()
		if !strings.HasPrefix(string(answer), "HTTP/1.1 4") {
			t.Errorf("%q: got %q, want a refusal", raw, answer)
		}
		if strings.Contains(string(answer), secret) {
			t.Errorf("%q: got %q, want it without the secret", raw, answer)
		}
	}
}
