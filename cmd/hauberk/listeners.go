package main

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// listener is a socket of this machine that accepts connections, as Linux
// tells it in /proc. Elsewhere none is found, and nothing is said about any.
type listener struct {
	addr netip.AddrPort
	// pid and name are of the process that holds it; 0 and "" where only root
	// may know.
	pid  int
	name string
}

// listeners returns who accepts connections on a TCP port.
func listeners(port uint16) []listener {
	var all []listener
	inodes := map[string]int{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue
		}
		for rows := bufio.NewScanner(f); rows.Scan(); {
			if addr, inode, ok := listening(rows.Text()); ok && addr.Port() == port {
				inodes["socket:["+inode+"]"] = len(all)
				all = append(all, listener{addr: addr})
			}
		}
		f.Close()
	}
	if len(all) > 0 {
		name(all, inodes)
	}
	return all
}

// listening reads a row of /proc/net/tcp: number, local address, remote
// address, state (0A is LISTEN), five more, inode.
func listening(row string) (addr netip.AddrPort, inode string, ok bool) {
	f := strings.Fields(row)
	if len(f) < 10 || f[3] != "0A" {
		return addr, "", false
	}
	host, port, _ := strings.Cut(f[1], ":")
	raw, err := hex.DecodeString(host)
	n, err2 := strconv.ParseUint(port, 16, 16)
	if err != nil || err2 != nil || len(raw)%4 != 0 {
		return addr, "", false
	}
	// The kernel prints 32-bit words in the byte order of the machine.
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	ip, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(ip.Unmap(), uint16(n)), f[9], ok
}

// name finds the processes that hold the sockets.
func name(all []listener, inodes map[string]int) {
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		target, err := os.Readlink(link)
		at, ok := inodes[target]
		if err != nil || !ok || all[at].pid != 0 {
			continue
		}
		process := filepath.Dir(filepath.Dir(link))
		all[at].pid, _ = strconv.Atoi(filepath.Base(process))
		comm, _ := os.ReadFile(filepath.Join(process, "comm"))
		all[at].name = strings.TrimSpace(string(comm))
		if program := all[at].program(); program != "" {
			all[at].name = program
		}
	}
}

// program is the file name of what runs, "" where only root may know. Newer
// versions of Node call their process MainThread.
func (l listener) program() string {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", l.pid))
	if err != nil {
		return ""
	}
	return filepath.Base(exe)
}

// environ returns a variable of the process, as it was when it started.
func (l listener) environ(key string) (value string, known bool) {
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", l.pid))
	if err != nil {
		return "", false
	}
	for v := range strings.SplitSeq(string(env), "\x00") {
		if name, value, _ := strings.Cut(v, "="); name == key {
			return value, true
		}
	}
	return "", true
}

func (l listener) String() string {
	if l.pid == 0 {
		return "a process of another user"
	}
	return fmt.Sprintf("%s (process %d)", l.name, l.pid)
}
