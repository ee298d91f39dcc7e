package demo

import (
	"fmt"
	"io"
	"net/http"
)

const loginHTML = `<form method=post action=/login class=card>
<label>Name <input name=name value=alice autocomplete=username></label>
<label>Password <input name=password type=password value=wonderland autocomplete=current-password></label>
<button>Log in</button></form><p>Try alice with wonderland, or bob with builder.</p>`

const homeHTML = `<p class=lead>A small bank with big holes, on purpose. Everything in it can be attacked; look at the same page with and without Hauberk.</p>
<div class=grid>
<a class=card href=/login><b>Log in</b>as alice or bob</a>
<a class=card href=/notes><b>Notes</b>yours, and with a trick everybody's</a>
<a class=card href="/search?q=%3Cscript%3Edocument.title='owned'%3C/script%3E"><b>Search</b>with a script in the question</a>
<a class=card href=/transfer><b>Transfer</b>money to a friend</a>
<a class=card href=/upload><b>Upload</b>a picture, or worse</a>
<a class=card href=/crash><b>Crash</b>and see what the page tells</a>
<a class=card href="/go?to=https://example.com/"><b>Go</b>wherever a link says</a>
<a class=card href=/.env><b>.env</b>a file that should not be there</a>
</div>`

const styleCSS = `:root{--ink:#1d2433;--soft:#5c667a;--sky:#eef3f9;--lark:#3d5a98}
*{box-sizing:border-box}body{margin:0;overflow-wrap:anywhere;font:17px/1.55 system-ui,sans-serif;color:var(--ink);background:var(--sky)}
header{background:var(--lark);color:#fff;padding:1.1rem max(1rem,calc(50vw - 24rem));display:flex;flex-wrap:wrap;gap:.4rem 1.4rem;align-items:baseline}
header a{color:#fff;text-decoration:none}header b{font-size:1.25rem}header span{margin-left:auto;opacity:.85}
main{max-width:48rem;margin:2rem auto;padding:0 1rem}.lead{font-size:1.15rem;color:var(--soft)}
.grid{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(min(13rem,100%),1fr))}
.card{display:grid;gap:.5rem;background:#fff;border:1px solid #d6deea;border-radius:.7rem;padding:1.1rem;color:inherit;text-decoration:none}
.card:hover{border-color:var(--lark)}.bad{color:#a3262a}form{display:flex;flex-wrap:wrap;gap:.6rem;margin:1rem 0}
form.card{display:grid;max-width:22rem}input,button{font:inherit;max-width:100%;min-width:0;padding:.5rem .7rem;border:1px solid #b9c4d6;border-radius:.4rem}
label{display:grid;gap:.2rem}button{background:var(--lark);color:#fff;border-color:var(--lark);cursor:pointer}
`

// page writes a page around a body. Weak: nothing in the body is escaped.
func (a *app) page(w http.ResponseWriter, r *http.Request, status int, title, body string) {
	_, name := a.user(r)
	if name == "" {
		name = "nobody yet"
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width">
<title>%[1]s - Larkspur Bank</title><link rel=stylesheet href=/style.css>
<header><a href=/><b>Larkspur Bank</b></a><a href=/notes>Notes</a><a href=/transfer>Transfer</a><a href=/search>Search</a><span>Welcome, %[2]s</span></header>
<main><h1>%[1]s</h1>%[3]s</main></html>
`, title, name, body)
}

func (a *app) home(w http.ResponseWriter, r *http.Request) {
	a.page(w, r, http.StatusOK, "Good morning", homeHTML)
}

func (a *app) style(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	_, _ = io.WriteString(w, styleCSS)
}

// search is weak: the question comes back as markup.
func (a *app) search(w http.ResponseWriter, r *http.Request) {
	q := r.FormValue("q")
	a.page(w, r, http.StatusOK, "Search", "<form><input name=q placeholder='Ask us'><button>Search</button></form><p>Nothing found for "+q+".</p>")
}

func (a *app) loginForm(w http.ResponseWriter, r *http.Request) {
	a.page(w, r, http.StatusOK, "Log in", loginHTML)
}

func (a *app) transferForm(w http.ResponseWriter, r *http.Request) {
	a.page(w, r, http.StatusOK, "Transfer", `<form method=post class=card><label>To <input name=to value=bob></label>
<label>Amount <input name=amount value=10 inputmode=numeric></label><button>Send</button></form>`)
}

func (a *app) uploadForm(w http.ResponseWriter, r *http.Request) {
	a.page(w, r, http.StatusOK, "Upload", `<form method=post enctype=multipart/form-data class=card><label>File <input type=file name=file></label><button>Upload</button></form>`)
}
