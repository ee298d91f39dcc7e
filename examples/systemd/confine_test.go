package systemd_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// scratch is a folder for the whole run.
var scratch string

// What the environment tells the test binary when it is to confine itself.
const (
	filterVar = "CONFINED_BY"
	probeArg  = "probe"
)

// TestMain is also the last step of a confined start: it takes on the filter
// of system calls and becomes the program.
func TestMain(m *testing.M) {
	if filter, ok := os.LookupEnv(filterVar); ok {
		fmt.Fprintln(os.Stderr, become([]byte(filter), os.Args[1:]))
		os.Exit(1)
	}
	os.Exit(inTempDir(m.Run))
}

func inTempDir(run func() int) int {
	dir, err := os.MkdirTemp("", "hauberk-systemd-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // another user starts the binary
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	scratch = dir
	return run()
}

// become does in this process what systemd does last before it starts one.
func become(filter []byte, args []string) error {
	var program []syscall.SockFilter
	if err := json.Unmarshal(filter, &program); err != nil {
		return err
	}
	runtime.LockOSThread()
	const setSeccomp, filterMode = 22, 2 // prctl(2)
	f := syscall.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if _, _, e := syscall.RawSyscall(syscall.SYS_PRCTL, setSeccomp, filterMode, uintptr(unsafe.Pointer(&f))); e != 0 {
		return fmt.Errorf("take on the filter: %w", e)
	}
	if args[0] == probeArg {
		probe()
		os.Exit(0)
	}
	if err := os.Unsetenv(filterVar); err != nil {
		return err
	}
	return fmt.Errorf("start %s: %w", args[0], syscall.Exec(args[0], args, os.Environ()))
}

// probe tries what the unit forbids, on the thread that is confined.
func probe() {
	_, _, wx := syscall.RawSyscall6(syscall.SYS_MMAP, 0, 4096, syscall.PROT_READ|syscall.PROT_WRITE|syscall.PROT_EXEC,
		syscall.MAP_PRIVATE|syscall.MAP_ANON, ^uintptr(0), 0)
	_, _, unshare := syscall.RawSyscall(syscall.SYS_UNSHARE, syscall.CLONE_NEWUSER, 0, 0)
	_, _, packet := syscall.RawSyscall(syscall.SYS_SOCKET, syscall.AF_PACKET, syscall.SOCK_RAW, 0)
	_, _, kexec := syscall.RawSyscall(syscall.SYS_REBOOT, 0, 0, 0)
	fmt.Println("writable and executable memory:", wx)
	fmt.Println("a user namespace:", unshare)
	fmt.Println("a raw socket:", packet)
	fmt.Println("a reboot:", kexec)
	for _, path := range []string{"/x", "/usr/bin/x", "/etc/hauberk/x", "/var/lib/x"} {
		fmt.Println("write", path+":", reason(os.WriteFile(path, nil, 0o600)))
	}
	fmt.Println("write /var/lib/hauberk/x:", reason(os.WriteFile("/var/lib/hauberk/x", nil, 0o600)))
	if l, err := net.Listen("tcp", ":443"); err != nil {
		fmt.Println("listen on :443:", reason(err))
	} else {
		l.Close()
		fmt.Println("listen on :443: <nil>")
	}
	status, _ := os.ReadFile("/proc/thread-self/status")
	for line := range strings.Lines(string(status)) {
		for _, key := range []string{"Uid:", "CapEff:", "CapBnd:", "NoNewPrivs:", "Seccomp:"} {
			if strings.HasPrefix(line, key) {
				fmt.Println(strings.Join(strings.Fields(line), " "))
			}
		}
	}
}

// reason is what the kernel said, without the path.
func reason(err error) error {
	for {
		inner, ok := err.(interface{ Unwrap() error })
		if !ok {
			return err
		}
		err = inner.Unwrap()
	}
}

// Users and the group that systemd would choose.
const (
	gateUser, appUser = "61202", "61201"
	doorGroup         = "61200"
)

// confined is a start as a unit asks for.
type confined struct {
	root   string // an empty folder that becomes the root
	groups string // supplementary, "" for none
	user   string // its uid
	group  string // its gid
	caps   string // as setpriv writes it: "-all,+net_bind_service"
	filter []syscall.SockFilter
	binds  map[string]string // path inside: path outside; "rw:" before it means writable
	env    []string
}

// roomScript makes the root: the system read-only as ProtectSystem=strict has
// it, a few devices as PrivateDevices, a private /tmp, other users' processes
// hidden, own network.
const roomScript = `set -eu
root=$1; shift
mount --bind "$root" "$root"
for d in usr bin sbin lib lib32 lib64; do
	if [ -L "/$d" ]; then cp -P "/$d" "$root/$d"
	elif [ -d "/$d" ]; then mkdir "$root/$d"; mount --rbind "/$d" "$root/$d"; fi
done
# What a unit starts from here is bound in below: a mount point of its own, so
# that none is left behind in the machine's.
mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs "$root/usr/local/bin"
mkdir "$root/proc" "$root/dev" "$root/tmp"
mount -t proc -o hidepid=invisible,nosuid,nodev,noexec proc "$root/proc"
mount -t tmpfs -o mode=0755,nosuid,noexec tmpfs "$root/dev"
for d in null zero full random urandom; do touch "$root/dev/$d"; mount --bind "/dev/$d" "$root/dev/$d"; done
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"
while [ "$1" != -- ]; do
	to=$root${1#rw:}; from=$2; mode=${1%%/*}
	if [ -d "$from" ]; then mkdir -p "$to"; else mkdir -p "${to%/*}"; touch "$to"; fi
	mount --bind "$from" "$to"
	if [ -z "$mode" ]; then mount -o remount,bind,ro "$to"; fi
	shift 2
done
shift
mount -o remount,bind,ro "$root/usr"
mount -o remount,ro "$root/dev"
mount -o remount,bind,ro "$root"
if command -v ip >/dev/null; then ip link set lo up; fi
exec chroot "$root" setpriv "$@"
`

// command returns the program under the confinement.
func (c confined) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	filter, err := json.Marshal(c.filter)
	if err != nil {
		t.Fatal(err)
	}
	all := []string{"--mount", "--propagation=private", "--ipc", "--uts", "--net", "sh", "-c", roomScript, "sh", c.root, "/run/begin", self}
	for inside, outside := range c.binds {
		all = append(all, inside, outside)
	}
	groups := "--clear-groups"
	if c.groups != "" {
		groups = "--groups=" + c.groups
	}
	all = append(all, "--", "--reuid="+c.user, "--regid="+c.group, groups, "--inh-caps="+c.caps, "--ambient-caps="+c.caps,
		"--bounding-set="+c.caps, "--no-new-privs", "/run/begin")
	cmd := exec.Command("unshare", append(all, args...)...)
	cmd.Env = append(append([]string{"PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, c.env...), filterVar+"="+string(filter))
	return cmd
}

// canConfine skips where a start cannot be confined, and says why.
func canConfine(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("filters of system calls are made for Linux on amd64 and arm64")
	}
	if os.Getuid() != 0 {
		t.Skip("to confine a start as systemd does takes root")
	}
	need(t, "systemd-analyze", "systemd")
	need(t, "setpriv", "util-linux")
	need(t, "ip", "iproute2")
	if out, err := exec.Command("unshare", "--mount", "--net", "mount", "-t", "tmpfs", "tmpfs", t.TempDir()).CombinedOutput(); err != nil {
		t.Skipf("this root may not mount in a namespace of its own: %s", out)
	}
}

// gateway returns the confinement of hauberk.service.
func gateway(t *testing.T, run string) confined {
	t.Helper()
	bin, err := hauberk()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("hauberk.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "hauberk.yaml")
	write(t, config, string(text), 0o644)
	u := readUnit(t, "hauberk.service")
	state := t.TempDir()
	for _, do := range []error{os.Chmod(state, 0o700), os.Chown(state, 61202, 61202)} {
		if do != nil {
			t.Fatal(do)
		}
	}
	return confined{root: t.TempDir(), user: gateUser, group: gateUser, groups: doorGroup, caps: capabilities(t, u), filter: filterOf(t, u),
		binds: map[string]string{"/usr/local/bin/hauberk": bin, "/etc/hauberk/hauberk.yaml": config, "rw:/var/lib/hauberk": state, "/run/notebook": run},
		env:   u["Environment"]}
}

// capabilities are those of the unit, as setpriv writes them.
func capabilities(t *testing.T, u unit) string {
	t.Helper()
	all := "-all"
	for name := range strings.FieldsSeq(u.one(t, "CapabilityBoundingSet")) {
		all += ",+" + strings.ToLower(strings.TrimPrefix(name, "CAP_"))
	}
	return all
}

// TestTheConfinementBites shows that what the next test survives is there.
func TestTheConfinementBites(t *testing.T) {
	canConfine(t)
	c := gateway(t, t.TempDir())
	out, err := c.command(t, probeArg).CombinedOutput()
	want := []string{
		"writable and executable memory: operation not permitted", "a user namespace: operation not permitted",
		"a raw socket: address family not supported by protocol", "a reboot: operation not permitted",
		"write /x: read-only file system", "write /usr/bin/x: read-only file system", "write /etc/hauberk/x: read-only file system",
		"write /var/lib/x: read-only file system", "write /var/lib/hauberk/x: <nil>", "listen on :443: <nil>",
		"Uid: 61202 61202 61202 61202", "CapEff: 0000000000000400", "CapBnd: 0000000000000400", "NoNewPrivs: 1", "Seccomp: 2",
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, line := range want {
		if !strings.Contains(string(out), line+"\n") {
			t.Errorf("want %q", line)
		}
	}
	if t.Failed() {
		t.Logf("got\n%s", out)
	}
	c = gateway(t, t.TempDir())
	c.caps = "-all"
	if out, _ := c.command(t, probeArg).CombinedOutput(); !strings.Contains(string(out), "listen on :443: permission denied") {
		t.Errorf("without the capability: got\n%s\nwant :443 refused", out)
	}
}
