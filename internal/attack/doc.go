// Package attack reads and replays attack files: plain text that a security
// reviewer reads aloud. One file is the unit test, the end-to-end test and,
// where it says so, the live audit of a rule.
//
//	# A page on another site submits a form with the victim's cookie.
//	@live
//	POST /transfer
//	Sec-Fetch-Site: cross-site
//	Content-Type: application/x-www-form-urlencoded
//
//	amount=100
//	-> 403 csrf.cross-origin
//	=> nothing
//
//	# The site's own form.
//	POST /transfer
//	Sec-Fetch-Site: same-origin
//
//	-> 200
//	=> POST /transfer
//
// # Cases
//
// A file is UTF-8 with LF line ends. A case starts with its title, one or more
// lines that begin with "#". A line that begins with "##" is a remark; it may
// stand wherever a title may. Every attack has its innocent twin behind it in
// the same file: nearly the same request, which must pass.
//
// Between title and request stand flags, one a line, in any order:
//
//	@config csrf: {trusted_origins: [https://pay.test]}
//	@config              with YAML on the indented lines below it
//	@live                an audit may send it to a real server
//	@gateway             only through the gateway
//	@library             only around a handler in the same process
//	@http2               over HTTP/2 instead of HTTP/1.1 over TLS
//	@clear               in clear text, to the port for it
//	@host shop.test      the name asked for, in TLS and in Host; else app.test
//	@sni other.test      the name asked for in TLS only; without a name: none
//	@account alice admin an account with its roles, whose password is
//	                     "a long password of alice"; as many as are wanted
//
// The configuration in force has one site, app.test, with "access: app" and
// "headers: compat". What @config says is laid beside it at the top level; an
// overlay with "sites:" replaces the site, and leaves "to" out: the replay
// knows where the app is. One that names a profile of headers replaces that.
//
// # What the app answers
//
// Lines before the request, here with their defaults:
//
//	<- 200
//	<- Content-Type: text/html; charset=utf-8
//	<- | ok
//
// Several "<- |" lines are joined by line feeds. "<- !Content-Type" leaves the
// default out, "<- panic" makes the handler panic before anything was written,
// "<- cut" ends its connection without an answer, and "<- 101" takes the
// connection over.
//
// # The request
//
// A line "METHOD target", then header lines as they go on the wire, in their
// order and letter case. Host, and Content-Length where the method or a body
// wants one, are added unless the case has them. After an empty line follows
// the body; empty lines at its end do not count, and no line of it may begin
// with "#", "->" or "=>". In target, header values and body, "{a*9000}" stands for
// 9,000 times "a". Over HTTP/2 a header whose name begins with a colon replaces the
// pseudo-header of that name.
//
// What cannot be said so is said in raw bytes, as Go strings, one a line, joined
// without anything between them, each repeated at will:
//
//	@raw
//	"GET / HTTP/1.1\r\nHost: app.test\r\n"
//	"X: " "a" * 9000 "\r\n"
//	"\r\n"
//
// # What is wanted
//
// Of the answer:
//
//	-> 403 csrf.cross-origin    status, and the rule that refused; without one, none did
//	-> closed                   no answer: the connection, or the stream, ended; a rule may follow
//	-> cut                      the body broke off
//	-> Cache-Control: no-store  a header with exactly this value
//	-> Vary: ~ Origin           a header that contains this
//	-> X-Request-Id: !~ 0000    a header that does not contain this
//	-> !X-Powered-By            no such header
//	-> | text                   the body contains text
//	-> !| text                  the body does not
//	-> event csrf.trusted       an event of this rule that refused nothing
//
// Status or "closed" come first. A second such line speaks of the next answer on
// the same connection: of pipelined raw requests, or "-> closed" behind a
// refusal. Answers with 1xx are skipped, but for 101.
//
// Of what the app saw, in order:
//
//	=> GET /a%2Fb?x=1%3By=2     method and target
//	=> X-Forwarded-Proto: https, "=> Via: ~ text", "=> !X-User-Id"
//	=> | text, "=> !| text"
//	=> nothing                  no request at all
//
// Without such a line nothing is asked; with one, the app must have seen
// exactly the requests that are named.
//
// # Several steps
//
// "@then" starts the next request of the same case, on a new connection, with
// "<-" lines of its own. A name in braces in a wanted header or text keeps what
// stands there, and later requests of the case use it:
//
//	-> Set-Cookie: ~ sid={sid};
//	@then
//	GET /account
//	Cookie: sid={sid}
//
//	-> 200
package attack
