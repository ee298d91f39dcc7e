package password

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/FastFilter/xorfilter"
)

// MaxImport is how many passwords a list may have: 200 million take 450 MB on
// disk and in memory. The whole of Have I Been Pwned has more; see AtLeast.
const MaxImport = 200_000_000

// longestLine is the longest line of a list that is not skipped.
const longestLine = 4096

// Import says how a list is read.
type Import struct {
	// AtLeast leaves out lines "SHA1:count" with a smaller count.
	AtLeast uint64
	// Shortest leaves out passwords with fewer code points, which the policy
	// refuses anyhow. Hashes do not tell their length.
	Shortest int
	// Shards is into how many parts the list is divided, each built by itself;
	// 0 means 256.
	Shards int
}

// Imported says what came of it.
type Imported struct {
	Lines, Skipped uint64
	Passwords      uint64 // kept, each once
	Bytes          int64  // of the file
}

// File reads a list of passwords, one a line, or of "SHA1" or "SHA1:count" in
// hexadecimal as Have I Been Pwned gives them, and writes it as a filter to path,
// by a rename: what was there stays until the new one is whole.
//
// The list is streamed. 8 bytes a password wait on the disk beside path until
// the parts are built one after the other; memory holds one part, with 200
// million some 40 MB.
func (i Import) File(ctx context.Context, r io.Reader, path string) (Imported, error) {
	if i.Shards == 0 {
		i.Shards = maxShards
	}
	if i.Shards < 1 || i.Shards > maxShards {
		return Imported{}, fmt.Errorf("import passwords: got %d parts, want 1 to %d", i.Shards, maxShards)
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".passwords-")
	if err != nil {
		return Imported{}, fmt.Errorf("import passwords: %w", err)
	}
	defer os.RemoveAll(dir)
	parts, done, err := i.divide(ctx, r, dir)
	if err == nil {
		err = done.build(ctx, parts, filepath.Join(dir, "list"))
	}
	for _, p := range parts {
		p.file.Close()
	}
	if err == nil {
		err = os.Rename(filepath.Join(dir, "list"), path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return Imported{}, fmt.Errorf("import passwords: %w", err)
	}
	return done, nil
}

// part is the keys of one shard, on disk.
type part struct {
	file *os.File
	w    *bufio.Writer
}

// divide writes the key of each line to the file of its part.
func (i Import) divide(ctx context.Context, r io.Reader, dir string) (parts []part, done Imported, err error) {
	for n := range i.Shards {
		f, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(n)), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return parts, done, err
		}
		parts = append(parts, part{f, bufio.NewWriterSize(f, 16<<10)})
	}
	in, kept := bufio.NewReaderSize(r, longestLine), 0
	for {
		line, err := nextLine(in)
		if errors.Is(err, io.EOF) {
			return parts, done, nil
		}
		if err == nil && done.Lines%4096 == 0 {
			err = ctx.Err()
		}
		if err != nil {
			return parts, done, err
		}
		done.Lines++
		keys := i.keys(line)
		if len(keys) == 0 {
			done.Skipped++
		}
		if kept += len(keys); kept > MaxImport {
			return parts, done, fmt.Errorf("more than %d passwords; take those that are seen more often", MaxImport)
		}
		for _, k := range keys {
			w := parts[shardOf(k, len(parts))].w
			if _, err := w.Write(binary.LittleEndian.AppendUint64(w.AvailableBuffer(), k)); err != nil {
				return parts, done, err
			}
		}
	}
}

// nextLine returns a line without its end, "" for one that is too long.
func nextLine(in *bufio.Reader) ([]byte, error) {
	line, err := in.ReadSlice('\n')
	long := false
	for errors.Is(err, bufio.ErrBufferFull) {
		long = true
		line, err = in.ReadSlice('\n')
	}
	if err != nil && (!errors.Is(err, io.EOF) || len(line) == 0) {
		return nil, err
	}
	if long {
		return nil, nil
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// keys returns what a line adds: nothing, its hash, or the password as it is
// and in lower case.
func (i Import) keys(line []byte) []uint64 {
	if k, count, ok := hashed(line); ok {
		if count < i.AtLeast {
			return nil
		}
		return []uint64{k}
	}
	p := Canonical(string(line))
	if p == "" || len([]rune(p)) < i.Shortest {
		return nil
	}
	keys := []uint64{keyOfPassword(p)}
	if lower := strings.ToLower(p); lower != p {
		keys = append(keys, keyOfPassword(lower))
	}
	return keys
}

// hashed reads "SHA1" or "SHA1:count". Without a count it was seen always.
func hashed(line []byte) (key, count uint64, ok bool) {
	const digits = 40
	if len(line) < digits {
		return 0, 0, false
	}
	var sum [digits / 2]byte
	if _, err := hex.Decode(sum[:], line[:digits]); err != nil {
		return 0, 0, false
	}
	count = 1<<64 - 1
	if rest := line[digits:]; len(rest) > 0 {
		var err error
		if count, err = strconv.ParseUint(string(rest[1:]), 10, 64); rest[0] != ':' || err != nil {
			return 0, 0, false
		}
	}
	return binary.BigEndian.Uint64(sum[:]), count, true
}

// build writes the list of all parts to path.
func (d *Imported) build(ctx context.Context, parts []part, path string) error {
	out, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	// The head stands in the file when the number is known; the checksum, over
	// all of it, comes last.
	at := int64(headSize)
	var b xorfilter.BinaryFuseBuilder
	var buf []byte
	for _, p := range parts {
		if err := ctx.Err(); err != nil {
			return err
		}
		keys, err := p.keys()
		if err != nil {
			return err
		}
		d.Passwords += uint64(len(keys))
		if buf, err = appendShard(buf[:0], &b, keys); err != nil {
			return err
		}
		if _, err := out.WriteAt(buf, at); err != nil {
			return err
		}
		at += int64(len(buf))
	}
	head := binary.LittleEndian.AppendUint64([]byte(magic), d.Passwords)
	head = binary.LittleEndian.AppendUint32(head, uint32(len(parts)))
	if _, err := out.WriteAt(head, 0); err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(out, 0, at)); err != nil {
		return err
	}
	if _, err := out.WriteAt(sum.Sum(nil), at); err != nil {
		return err
	}
	if d.Bytes = at + sha256.Size; d.Bytes > MaxFilter {
		return fmt.Errorf("the list takes %d bytes, more than %d", d.Bytes, MaxFilter)
	}
	if err := out.Sync(); err != nil {
		return err
	}
	return out.Close()
}

// keys returns the keys of a part in order, each once.
func (p part) keys() ([]uint64, error) {
	if err := p.w.Flush(); err != nil {
		return nil, err
	}
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(p.file)
	if err != nil {
		return nil, err
	}
	keys := make([]uint64, len(raw)/8)
	for i := range keys {
		keys[i] = binary.LittleEndian.Uint64(raw[8*i:])
	}
	slices.Sort(keys)
	return slices.Compact(keys), nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
