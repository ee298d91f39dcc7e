package systemd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// filterOf makes of the unit what systemd makes of it: a seccomp program that
// allows the system calls of SystemCallFilter=, and of these refuses what
// MemoryDenyWriteExecute=, RestrictAddressFamilies= and RestrictNamespaces=
// name. The names come from systemd-analyze, the numbers from golang.org/x/sys.
func filterOf(t *testing.T, u unit) []syscall.SockFilter {
	t.Helper()
	allowed := allowedCalls(t, u["SystemCallFilter"])
	if len(allowed) < 200 || allowed["mount"] || !allowed["read"] {
		t.Fatalf("got %d allowed system calls, mount %t, read %t", len(allowed), allowed["mount"], allowed["read"])
	}
	special := map[string][]syscall.SockFilter{
		// A filter cannot look behind the pointer of clone3; glibc falls back.
		"clone3": {fail(syscall.ENOSYS)},
	}
	const namespaces = 0x7e020080 // every CLONE_NEW flag
	if u.one(t, "RestrictNamespaces") == "yes" {
		special["clone"] = refuse(0, namespaces, 0, false, syscall.EPERM)
		special["unshare"] = refuse(0, namespaces, 0, false, syscall.EPERM)
		special["setns"] = []syscall.SockFilter{fail(syscall.EPERM)}
	}
	if len(u["MemoryDenyWriteExecute"]) > 0 {
		const wx, exec, shmExec = syscall.PROT_WRITE | syscall.PROT_EXEC, syscall.PROT_EXEC, 0o100000
		special["mmap"] = refuse(2, wx, wx, true, syscall.EPERM)
		special["mprotect"] = refuse(2, exec, exec, true, syscall.EPERM)
		special["pkey_mprotect"] = special["mprotect"]
		special["shmat"] = refuse(2, shmExec, shmExec, true, syscall.EPERM)
	}
	special["socket"] = families(t, u.one(t, "RestrictAddressFamilies"))
	return assemble(t, allowed, special)
}

// allowedCalls works out the lines of SystemCallFilter=.
func allowedCalls(t *testing.T, lines []string) map[string]bool {
	t.Helper()
	out, err := exec.Command("systemd-analyze", "--no-pager", "syscall-filter").Output()
	if err != nil {
		t.Fatal(err)
	}
	sets := map[string][]string{}
	set := ""
	for line := range strings.Lines(string(out)) {
		word := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "@"):
			set = word
		case set != "" && word != "" && !strings.HasPrefix(word, "#"):
			sets[set] = append(sets[set], word)
		}
	}
	all := map[string]bool{}
	var put func(name string, allow bool)
	put = func(name string, allow bool) {
		if !strings.HasPrefix(name, "@") {
			all[name] = allow
			return
		}
		if len(sets[name]) == 0 {
			t.Fatalf("systemd-analyze knows no set %s", name)
		}
		for _, member := range sets[name] {
			put(member, allow)
		}
	}
	for _, line := range lines {
		names, deny := strings.CutPrefix(line, "~")
		for name := range strings.FieldsSeq(names) {
			put(name, !deny)
		}
	}
	return all
}

// numbers returns the system calls of this machine by name.
func numbers(t *testing.T) map[string]uint32 {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/sys").Output()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(strings.TrimSpace(string(dir)), "unix", "zsysnum_linux_"+runtime.GOARCH+".go")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]uint32{}
	for _, m := range regexp.MustCompile(`(?m)^\s+SYS_(\w+)\s+= (\d+)$`).FindAllStringSubmatch(string(text), -1) {
		n, err := strconv.ParseUint(m[2], 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.ToLower(m[1])] = uint32(n)
	}
	return all
}

// The instructions of a seccomp program (bpf(4), seccomp(2)).
const (
	loadWord  = syscall.BPF_LD | syscall.BPF_W | syscall.BPF_ABS
	ifEqual   = syscall.BPF_JMP | syscall.BPF_JEQ | syscall.BPF_K
	andWith   = syscall.BPF_ALU | syscall.BPF_AND | syscall.BPF_K
	answer    = syscall.BPF_RET | syscall.BPF_K
	allowCall = 0x7fff0000
	failCall  = 0x00050000
	killCall  = 0x80000000
)

func allow() syscall.SockFilter { return syscall.SockFilter{Code: answer, K: allowCall} }

func fail(e syscall.Errno) syscall.SockFilter {
	return syscall.SockFilter{Code: answer, K: failCall | uint32(e)}
}

// argument loads the low word of an argument; amd64 and arm64 put it first.
func argument(n uint32) syscall.SockFilter { return syscall.SockFilter{Code: loadWord, K: 16 + 8*n} }

// refuse refuses a call whose masked argument equals want, or differs from it.
func refuse(arg, mask, want uint32, equal bool, e syscall.Errno) []syscall.SockFilter {
	test := syscall.SockFilter{Code: ifEqual, K: want, Jt: 1}
	if equal {
		test.Jt, test.Jf = 0, 1
	}
	return []syscall.SockFilter{argument(arg), {Code: andWith, K: mask}, test, fail(e), allow()}
}

// families allows sockets of the families named.
func families(t *testing.T, names string) []syscall.SockFilter {
	t.Helper()
	known := map[string]uint32{"AF_INET": syscall.AF_INET, "AF_INET6": syscall.AF_INET6, "AF_UNIX": syscall.AF_UNIX}
	all := []syscall.SockFilter{argument(0)}
	for name := range strings.FieldsSeq(names) {
		family, ok := known[name]
		if !ok {
			t.Fatalf("the test knows no family %s", name)
		}
		all = append(all, syscall.SockFilter{Code: ifEqual, K: family, Jf: 1}, allow())
	}
	return append(all, fail(syscall.EAFNOSUPPORT))
}

// assemble writes the program: one comparison for each call, then EPERM.
func assemble(t *testing.T, allowed map[string]bool, special map[string][]syscall.SockFilter) []syscall.SockFilter {
	t.Helper()
	arch := map[string]uint32{"amd64": 0xc000003e, "arm64": 0xc00000b7}[runtime.GOARCH]
	program := []syscall.SockFilter{
		{Code: loadWord, K: 4}, {Code: ifEqual, K: arch, Jt: 1}, {Code: answer, K: killCall}, {Code: loadWord, K: 0},
	}
	for name, number := range numbers(t) {
		if !allowed[name] {
			continue
		}
		do := special[name]
		if do == nil {
			do = []syscall.SockFilter{allow()}
		}
		program = append(program, syscall.SockFilter{Code: ifEqual, K: number, Jf: uint8(len(do))})
		program = append(program, do...)
	}
	return append(program, fail(syscall.EPERM))
}
