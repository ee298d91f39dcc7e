package demo

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	_ "modernc.org/sqlite" // the driver of the app's own database
)

// app is Larkspur Bank: a small real application with the mistakes that real
// ones have. Each of them is left in on purpose and marked "Weak".
type app struct {
	db   *sql.DB
	mux  *http.ServeMux
	root *os.Root // what its file server may reach, however weak it is
}

// files is what lies in the app's folder.
var files = map[string]string{
	"public/terms.txt": "Larkspur Bank: be kind to each other.\n",
	".env":             "DB_PASSWORD=tidewater-7\nNODE_ENV=development\n",
}

const schema = `
DROP TABLE IF EXISTS users; DROP TABLE IF EXISTS notes; DROP TABLE IF EXISTS uploads; DROP TABLE IF EXISTS transfers;
CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, password TEXT, balance INTEGER);
CREATE TABLE notes (id INTEGER PRIMARY KEY, owner INTEGER, body TEXT);
CREATE TABLE uploads (name TEXT PRIMARY KEY, data BLOB);
CREATE TABLE transfers (id INTEGER PRIMARY KEY, sender INTEGER, recipient TEXT, amount INTEGER);
INSERT INTO users VALUES (1, 'admin', 'root-of-all', 1000000), (2, 'alice', 'wonderland', 1200), (3, 'bob', 'builder', 90);
INSERT INTO notes VALUES (1, 1, 'The vault code is 4711.'), (2, 2, 'Call the plumber on Monday.'), (3, 3, 'Rent is due.');`

// newApp opens the app with its database in memory and its files in dir.
func newApp(dir string) (*app, error) {
	for name, text := range files {
		full := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
			return nil, err
		}
		if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		root.Close()
		return nil, fmt.Errorf("open the demo's database: %w", err)
	}
	db.SetMaxOpenConns(1) // a database in memory belongs to one connection
	a := &app{db: db, root: root, mux: http.NewServeMux()}
	a.routes()
	if err := a.reset(context.Background()); err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

// reset puts the database back to its first day.
func (a *app) reset(ctx context.Context) error {
	if _, err := a.db.ExecContext(ctx, schema); err != nil {
		return fmt.Errorf("fill the demo's database: %w", err)
	}
	return nil
}

func (a *app) close() {
	a.db.Close()
	a.root.Close()
}

func (a *app) routes() {
	a.mux.HandleFunc("/{$}", a.home)
	a.mux.HandleFunc("GET /style.css", a.style)
	a.mux.HandleFunc("GET /search", a.search)
	a.mux.HandleFunc("GET /login", a.loginForm)
	a.mux.HandleFunc("POST /login", a.login)
	a.mux.HandleFunc("GET /notes", a.notes)
	a.mux.HandleFunc("POST /notes", a.addNote)
	a.mux.HandleFunc("GET /notes/{id}", a.note)
	a.mux.HandleFunc("GET /transfer", a.transferForm)
	a.mux.HandleFunc("POST /transfer", a.transfer)
	a.mux.HandleFunc("GET /upload", a.uploadForm)
	a.mux.HandleFunc("POST /upload", a.upload)
	a.mux.HandleFunc("GET /uploads/{name}", a.uploaded)
	a.mux.HandleFunc("GET /crash", a.crash)
	a.mux.HandleFunc("GET /go", a.redirect)
	a.mux.HandleFunc("GET /reset", a.resetLink)
	a.mux.HandleFunc("/api/me", a.me)
}

// ServeHTTP is the app's own middleware.
func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			// Weak: the whole stack goes to whoever asked.
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprintf(w, "panic: %v\n\n%s", p, debug.Stack())
		}
	}()
	w.Header().Set("X-Powered-By", "Larkspur/1.2.3") // Weak: it tells its version.
	if m := r.URL.Query().Get("_method"); m != "" {
		// Weak: any link can claim to be a POST.
		_ = r.ParseForm()
		r.PostForm, r.Method = r.Form, strings.ToUpper(m)
	}
	if name, ok := strings.CutPrefix(r.URL.Path, "/files/"); ok {
		a.file(w, "public/"+name)
		return
	}
	if name := strings.TrimPrefix(r.URL.Path, "/"); strings.HasPrefix(name, ".") {
		a.file(w, name)
		return
	}
	a.mux.ServeHTTP(w, r)
}

// file is weak: ".." is resolved, and dotfiles are served.
func (a *app) file(w http.ResponseWriter, name string) {
	f, err := a.root.Open(path.Clean(name))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.Copy(w, f)
}

// user says who asks. Weak: the cookie is the account's number, and a header
// is believed that any client can send.
func (a *app) user(r *http.Request) (id int, name string) {
	where, value := "id", ""
	if c, err := r.Cookie("sid"); err == nil {
		value = c.Value
	}
	if h := r.Header.Get("X-Remote-User"); h != "" {
		where, value = "name", h
	}
	_ = a.db.QueryRowContext(r.Context(), "SELECT id, name FROM users WHERE "+where+" = ?", value).Scan(&id, &name)
	return id, name
}

func (a *app) login(w http.ResponseWriter, r *http.Request) {
	var id int
	// Weak: the statement is put together from what came, and nobody counts
	// the tries.
	err := a.db.QueryRowContext(r.Context(), fmt.Sprintf("SELECT id FROM users WHERE name = '%s' AND password = '%s'",
		r.FormValue("name"), r.FormValue("password"))).Scan(&id)
	if err != nil {
		a.page(w, r, http.StatusUnauthorized, "Log in", "<p class=bad>That was not right.</p>"+loginHTML)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: "sid", Value: strconv.Itoa(id), Path: "/"})
	http.Redirect(w, r, "/notes", http.StatusSeeOther)
}

func (a *app) notes(w http.ResponseWriter, r *http.Request) {
	id, _ := a.user(r)
	q := r.FormValue("q")
	// Weak: the search term is part of the statement.
	rows, err := a.db.QueryContext(r.Context(), fmt.Sprintf("SELECT id, body FROM notes WHERE owner = %d AND body LIKE '%%%s%%'", id, q))
	if err != nil {
		http.Error(w, "SQL error: "+err.Error(), http.StatusInternalServerError)
		return
	}
	defer rows.Close()
	var b bytes.Buffer
	b.WriteString("<form><input name=q placeholder='Find a note'><button>Find</button></form><ul>")
	for rows.Next() {
		var n, body string
		if rows.Scan(&n, &body) == nil {
			fmt.Fprintf(&b, "<li><a href='/notes/%s'>%s</a></li>", n, body) // Weak: not escaped.
		}
	}
	b.WriteString("</ul><form method=post><input name=body placeholder='A new note'><button>Keep</button></form>")
	a.page(w, r, http.StatusOK, "Notes", b.String())
}

func (a *app) addNote(w http.ResponseWriter, r *http.Request) {
	id, _ := a.user(r)
	if _, err := a.db.ExecContext(r.Context(), "INSERT INTO notes (owner, body) VALUES (?, ?)", id, r.FormValue("body")); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	http.Redirect(w, r, "/notes", http.StatusSeeOther)
}

// note is weak: it does not ask whose note it is.
func (a *app) note(w http.ResponseWriter, r *http.Request) {
	var body string
	if a.db.QueryRowContext(r.Context(), "SELECT body FROM notes WHERE id = ?", r.PathValue("id")).Scan(&body) != nil {
		a.page(w, r, http.StatusNotFound, "No such note", "")
		return
	}
	a.page(w, r, http.StatusOK, "Note", "<p>"+body+"</p>")
}

// transfer is weak: it does not ask which page sent it.
func (a *app) transfer(w http.ResponseWriter, r *http.Request) {
	id, name := a.user(r)
	amount, err := strconv.Atoi(r.FormValue("amount"))
	if id == 0 || err != nil {
		a.page(w, r, http.StatusForbidden, "Log in first", "")
		return
	}
	to := r.FormValue("to")
	for _, step := range []struct {
		sql  string
		args []any
	}{
		{"UPDATE users SET balance = balance - ? WHERE id = ?", []any{amount, id}},
		{"UPDATE users SET balance = balance + ? WHERE name = ?", []any{amount, to}},
		{"INSERT INTO transfers (sender, recipient, amount) VALUES (?, ?, ?)", []any{id, to, amount}},
	} {
		if _, err := a.db.ExecContext(r.Context(), step.sql, step.args...); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	a.page(w, r, http.StatusOK, "Sent", fmt.Sprintf("<p>%s sent %d to %s.</p>", name, amount, to))
}

// upload is weak: it keeps any file, and uploaded serves it as what its name
// says.
func (a *app) upload(w http.ResponseWriter, r *http.Request) {
	f, head, err := r.FormFile("file")
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err == nil {
		_, err = a.db.ExecContext(r.Context(), "INSERT OR REPLACE INTO uploads VALUES (?, ?)", head.Filename, data)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	http.Redirect(w, r, "/uploads/"+head.Filename, http.StatusSeeOther)
}

func (a *app) uploaded(w http.ResponseWriter, r *http.Request) {
	var data []byte
	if a.db.QueryRowContext(r.Context(), "SELECT data FROM uploads WHERE name = ?", r.PathValue("name")).Scan(&data) != nil {
		a.page(w, r, http.StatusNotFound, "No such file", "")
		return
	}
	kind := "application/octet-stream"
	switch path.Ext(r.PathValue("name")) {
	case ".html":
		kind = "text/html; charset=utf-8"
	case ".png":
		kind = "image/png"
	}
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(data)
}

// crash has a bug that nobody found in review: a basket may be empty.
func (a *app) crash(w http.ResponseWriter, r *http.Request) {
	basket := strings.Fields(r.FormValue("basket"))
	a.page(w, r, http.StatusOK, "Basket", "<p>First of all: "+basket[0]+"</p>")
}

// redirect is weak: it goes wherever the link says.
func (a *app) redirect(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, r.FormValue("to"), http.StatusFound)
}

// resetLink is weak: the link in the mail begins with whatever Host said.
func (a *app) resetLink(w http.ResponseWriter, r *http.Request) {
	a.page(w, r, http.StatusOK, "Mail sent", "<p>The mail says: https://"+r.Host+"/reset/9f86d081</p>")
}

// me is weak: every origin may read it, with the visitor's cookie.
func (a *app) me(w http.ResponseWriter, r *http.Request) {
	if o := r.Header.Get("Origin"); o != "" {
		w.Header().Set("Access-Control-Allow-Origin", o)
		w.Header().Set("Access-Control-Allow-Credentials", "true")
	}
	id, name := a.user(r)
	var balance int
	_ = a.db.QueryRowContext(r.Context(), "SELECT balance FROM users WHERE id = ?", id).Scan(&balance)
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"name":%q,"balance":%d}`+"\n", name, balance)
}
