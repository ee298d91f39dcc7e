package password

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/FastFilter/xorfilter"
)

// Filter is a list of passwords as a binary fuse filter with 16 bits: it knows
// all that are on the list and takes one in 65,536 others for listed, which
// costs a person one more try. It holds 18 bits a password and no password.
//
// A password is known by the first 64 bits of its SHA-1, as Have I Been Pwned
// gives it; nothing is kept secret by that.
type Filter struct {
	shards []xorfilter.BinaryFuse[uint16] // by the first bits of the key
	count  uint64
}

// ErrFilter says that a file is no whole list of ours.
var ErrFilter = errors.New("not a whole list of passwords; import it again")

// MaxFilter is the largest file that is opened: all of it stands in memory.
const MaxFilter = 512 << 20

const (
	magic      = "hauberk passwords 1\n"
	maxShards  = 256
	headSize   = len(magic) + 8 + 4
	shardSize  = 8 + 4 + 4 // seed, segment length, segment count
	maxSegment = 1 << 18
)

//go:generate go test -count=1 -run ^TestTheCommonListIsMadeFromItsSource$ -update

//go:embed common.bin
var commonFile []byte

// Common is the list in the binary: 17,950 of the passwords of 8 and more
// characters that @zxcvbn-ts/language-common counts as common (README.md). Only
// 41 of them have 15: beside a least length of 15 it is too short for ASVS
// 6.2.4, which asks for 3000 of the allowed length. Import a longer one.
var Common = sync.OnceValue(func() *Filter {
	f, err := read(commonFile)
	if err != nil {
		return &Filter{} // a test reads the embedded file; it cannot change
	}
	return f
})

// Has says whether a password is listed, as it is or in lower case.
func (f *Filter) Has(password string) bool {
	password = Canonical(password)
	lower := strings.ToLower(password)
	return f.has(keyOfPassword(password)) || lower != password && f.has(keyOfPassword(lower))
}

// Count returns how many passwords are listed.
func (f *Filter) Count() uint64 { return f.count }

func (f *Filter) has(key uint64) bool {
	if len(f.shards) == 0 {
		return false
	}
	s := &f.shards[shardOf(key, len(f.shards))]
	return len(s.Fingerprints) > 0 && s.Contains(key)
}

func keyOfPassword(password string) uint64 {
	sum := sha1.Sum([]byte(password))
	return binary.BigEndian.Uint64(sum[:])
}

func shardOf(key uint64, shards int) int {
	return int(key >> 56 * uint64(shards) >> 8)
}

// Open reads a list that Import wrote. What is not whole is an error.
func Open(path string) (*Filter, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > MaxFilter {
		return nil, fmt.Errorf("%s: %w: %d bytes are more than %d", path, ErrFilter, info.Size(), MaxFilter)
	}
	raw := make([]byte, info.Size())
	if _, err := io.ReadFull(file, raw); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, ErrFilter, err)
	}
	f, err := read(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// read takes a list from memory. Its checksum finds a broken disk; what each
// part says of itself is checked too, so that no list can make Has fail.
func read(raw []byte) (*Filter, error) {
	if len(raw) < headSize+sha256.Size || string(raw[:len(magic)]) != magic {
		return nil, fmt.Errorf("%w: no head", ErrFilter)
	}
	body, sum := raw[:len(raw)-sha256.Size], raw[len(raw)-sha256.Size:]
	if got := sha256.Sum256(body); !bytes.Equal(got[:], sum) {
		return nil, fmt.Errorf("%w: the checksum differs", ErrFilter)
	}
	f := &Filter{count: binary.LittleEndian.Uint64(body[len(magic):])}
	shards := binary.LittleEndian.Uint32(body[len(magic)+8:])
	if shards > maxShards {
		return nil, fmt.Errorf("%w: %d parts", ErrFilter, shards)
	}
	body = body[headSize:]
	for range shards {
		var s xorfilter.BinaryFuse[uint16]
		var err error
		if s, body, err = readShard(body); err != nil {
			return nil, err
		}
		f.shards = append(f.shards, s)
	}
	if len(body) > 0 {
		return nil, fmt.Errorf("%w: %d bytes behind the end", ErrFilter, len(body))
	}
	return f, nil
}

func readShard(body []byte) (s xorfilter.BinaryFuse[uint16], rest []byte, err error) {
	if len(body) < shardSize {
		return s, nil, fmt.Errorf("%w: it ends early", ErrFilter)
	}
	s.Seed = binary.LittleEndian.Uint64(body)
	s.SegmentLength = binary.LittleEndian.Uint32(body[8:])
	s.SegmentCount = binary.LittleEndian.Uint32(body[12:])
	body = body[shardSize:]
	if s.SegmentLength == 0 && s.SegmentCount == 0 {
		return s, body, nil // an empty part
	}
	if s.SegmentLength == 0 || s.SegmentLength&(s.SegmentLength-1) != 0 || s.SegmentLength > maxSegment || s.SegmentCount == 0 {
		return s, nil, fmt.Errorf("%w: a part of segments of %d", ErrFilter, s.SegmentLength)
	}
	n := (uint64(s.SegmentCount) + 2) * uint64(s.SegmentLength)
	if n > uint64(len(body))/2 {
		return s, nil, fmt.Errorf("%w: it ends early", ErrFilter)
	}
	s.SegmentLengthMask = s.SegmentLength - 1
	s.SegmentCountLength = s.SegmentCount * s.SegmentLength
	s.Fingerprints = make([]uint16, n)
	for i := range s.Fingerprints {
		s.Fingerprints[i] = binary.LittleEndian.Uint16(body[2*i:])
	}
	return s, body[2*n:], nil
}

// appendShard writes a filter of keys, which have no duplicates.
func appendShard(to []byte, b *xorfilter.BinaryFuseBuilder, keys []uint64) ([]byte, error) {
	if len(keys) == 0 {
		return append(to, make([]byte, shardSize)...), nil
	}
	s, err := xorfilter.BuildBinaryFuse[uint16](b, keys)
	if err != nil {
		return nil, err
	}
	to = binary.LittleEndian.AppendUint64(to, s.Seed)
	to = binary.LittleEndian.AppendUint32(to, s.SegmentLength)
	to = binary.LittleEndian.AppendUint32(to, s.SegmentCount)
	for _, f := range s.Fingerprints {
		to = binary.LittleEndian.AppendUint16(to, f)
	}
	return to, nil
}
