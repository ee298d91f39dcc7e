package leak_test

// language is one whose error outputs are made by running it. file is what the
// program is written to, run its command line; "%" stands for the file.
type language struct {
	name, file string
	run        []string
	around     string // of which "%" is the program
	programs   map[string]string
}

// languages are eight, with eight ways each in which programs fail.
var languages = []language{
	{"node", "app.js", []string{"node", "%"}, "", map[string]string{
		"type":     "function total(o) {\n  return o.lines.length;\n}\ntotal({});\n",
		"json":     "function read(t) {\n  return JSON.parse(t);\n}\nread('{bad');\n",
		"file":     "require('fs').readFileSync('/srv/shop/none.json');\n",
		"module":   "require('express-that-is-not-there');\n",
		"async":    "async function pay() {\n  throw new Error('card 4242 declined by gateway');\n}\npay();\n",
		"cause":    "try {\n  null.x;\n} catch (e) {\n  throw new Error('cannot load the order', { cause: e });\n}\n",
		"json-api": "try {\n  undefined.title;\n} catch (e) {\n  console.log(JSON.stringify({ error: e.message, stack: e.stack }));\n}\n",
		"refused":  "const e = new Error('connect ECONNREFUSED 127.0.0.1:5432');\ne.code = 'ECONNREFUSED';\nconsole.log(require('util').inspect(e));\n",
	}},
	{"python", "app.py", []string{"python3", "%"}, "", map[string]string{
		"key":     "def total(order):\n    return order['lines']\n\n\ntotal({})\n",
		"chained": "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise RuntimeError('cannot total') from e\n",
		"sqlite":  "import sqlite3\nsqlite3.connect(':memory:').execute(\"SELECT * FROM users WHERE name = 'o'brien'\")\n",
		"file":    "open('/srv/shop/settings.toml')\n",
		"import":  "def load():\n    import shop_that_is_not_there\n\n\nload()\n",
		"json":    "import json\njson.loads('{bad')\n",
		"printed": "import traceback\ntry:\n    None.title\nexcept AttributeError:\n    print('<pre>' + traceback.format_exc().replace('\"', '&quot;') + '</pre>')\n",
		"in-json": "import json, traceback\ntry:\n    [][1]\nexcept IndexError:\n    print(json.dumps({'error': traceback.format_exc()}))\n",
	}},
	{"php", "app.php", []string{"php", "-d", "display_errors=1", "-d", "html_errors=0", "%"}, "<?php\n%", map[string]string{
		"uncaught":  "function total($o) { throw new Exception('bad order'); }\ntotal([]);\n",
		"type":      "function total(int $n) { return $n; }\ntotal('x');\n",
		"warning":   "echo $orders['lines'];\n",
		"include":   "include '/srv/shop/none.php';\n",
		"fopen":     "fopen('/srv/shop/orders.csv', 'r');\n",
		"pdo":       "$d = new PDO('sqlite::memory:');\n$d->query(\"SELECT * FROM users WHERE name = 'o'brien'\");\n",
		"html":      "ini_set('html_errors', '1');\necho 1 % 0;\n",
		"undefined": "order_total();\n",
	}},
	{"ruby", "app.rb", []string{"ruby", "%"}, "", map[string]string{
		"nil":     "def total(o)\n  o.lines\nend\ntotal(nil)\n",
		"raise":   "class OrderError < StandardError; end\ndef pay\n  raise OrderError, 'card declined'\nend\npay\n",
		"json":    "require 'json'\nJSON.parse('{bad')\n",
		"file":    "File.read('/srv/shop/config.yml')\n",
		"zero":    "def share(n)\n  10 / n\nend\nshare(0)\n",
		"cause":   "begin\n  Integer('x')\nrescue ArgumentError\n  raise 'cannot read the order'\nend\n",
		"printed": "def a; raise 'x'; end\nbegin\n  a\nrescue => e\n  puts \"#{e.message} (#{e.class})\", e.backtrace\nend\n",
		"require": "require 'shop_that_is_not_there'\n",
	}},
	{"perl", "app.pl", []string{"perl", "%"}, "", map[string]string{
		"die":     "sub total { die 'bad order' } total();\n",
		"undef":   "use strict; use warnings; my $o; print 'sum: ' . $o . \"\\n\"; die;\n",
		"method":  "my $o; $o->lines;\n",
		"zero":    "my $n = 0; print 10 / $n;\n",
		"open":    "open(my $f, '<', '/srv/shop/orders.csv') or die \"cannot open: $!\";\n",
		"module":  "require ShopThatIsNotThere;\n",
		"confess": "use Carp; sub pay { Carp::confess('declined') } pay(1);\n",
		"html":    "$SIG{__DIE__} = sub { print \"<h1>Software error:</h1><pre>@_</pre>\" }; die 'no connection';\n",
	}},
	{"java", "App.java", []string{"java", "%"}, "import java.util.*;\nimport java.nio.file.*;\npublic class App {\n%\n}\n", map[string]string{
		"null":    "  static int total(String s) { return s.length(); }\n  public static void main(String[] a) { total(null); }",
		"index":   "  public static void main(String[] a) { System.out.println(List.of(1).get(3)); }",
		"number":  "  public static void main(String[] a) { Integer.parseInt(\"x\"); }",
		"cause":   "  public static void main(String[] a) { try { Integer.parseInt(\"x\"); } catch (Exception e) { throw new IllegalStateException(\"cannot read the order\", e); } }",
		"file":    "  public static void main(String[] a) throws Exception { Files.readString(Path.of(\"/srv/shop/none.properties\")); }",
		"cast":    "  public static void main(String[] a) { Object o = \"x\"; Integer i = (Integer) o; }",
		"stream":  "  public static void main(String[] a) { List.of(0).stream().map(n -> 1 / n).toList(); }",
		"printed": "  public static void main(String[] a) { try { new ArrayList<Integer>().iterator().next(); } catch (Exception e) { e.printStackTrace(System.out); } }",
	}},
	{"go", "main.go", []string{"go", "run", "%"}, "package main\n%", map[string]string{
		"nil":       "type order struct{ lines []int }\nfunc total(o *order) int { return len(o.lines) }\nfunc main() { println(total(nil)) }\n",
		"index":     "func at(l []int, i int) int { return l[i] }\nfunc main() { println(at(nil, 3)) }\n",
		"panic":     "func pay() { panic(\"card declined\") }\nfunc main() { pay() }\n",
		"map":       "func main() { var m map[string]int; put(m) }\nfunc put(m map[string]int) { m[\"a\"] = 1 }\n",
		"cast":      "func main() { var v any = \"x\"; println(v.(int)) }\n",
		"stack":     "import (\"fmt\"; \"runtime/debug\")\nfunc main() { fmt.Printf(\"<pre>%s</pre>\", debug.Stack()) }\n",
		"recovered": "import (\"fmt\"; \"runtime/debug\"; \"encoding/json\")\nfunc main() { defer func() { b, _ := json.Marshal(map[string]string{\"error\": fmt.Sprint(recover()), \"stack\": string(debug.Stack())}); fmt.Println(string(b)) }(); panic(\"x\") }\n",
		"file":      "import (\"fmt\"; \"os\")\nfunc main() { _, err := os.Open(\"/srv/shop/none.toml\"); fmt.Println(err) }\n",
	}},
	{"rust", "app.rs", []string{"sh", "-c", "rustc -A warnings -o app app.rs && RUST_BACKTRACE=0 ./app"}, "", map[string]string{
		"unwrap":   "fn main() { let n: Option<i32> = None; n.unwrap(); }\n",
		"parse":    "fn main() { \"x\".parse::<i32>().unwrap(); }\n",
		"index":    "fn main() { let v: Vec<i32> = Vec::new(); let i = v.len() + 3; println!(\"{}\", v[i]); }\n",
		"file":     "fn main() { std::fs::read(\"/srv/shop/none.toml\").expect(\"cannot read the settings\"); }\n",
		"overflow": "fn main() { let v: Vec<u8> = vec![255]; let n = v[0] + v.len() as u8; println!(\"{n}\"); }\n",
		"refcell":  "fn main() { let c = std::cell::RefCell::new(1); let _a = c.borrow_mut(); let _b = c.borrow_mut(); }\n",
		"thread":   "fn main() { std::thread::Builder::new().name(\"worker\".into()).spawn(|| panic!(\"no stock\")).unwrap().join().unwrap(); }\n",
		"assert":   "fn main() { let v: Vec<u8> = Vec::new(); assert_eq!(v.len(), 1, \"an order has a line\"); }\n",
	}},
}
