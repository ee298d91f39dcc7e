package password

import (
	"crypto/hmac"
	"crypto/sha256"
)

// Room is memory that holds another's blocks.
func Room(n int) []block {
	room := make([]block, n)
	for i := range room {
		room[i][0] = uint64(i) + 1
	}
	return room
}

// Argon2id computes a hash with any parameters.
func Argon2id(room []block, password, salt string, memory, passes uint32, lanes uint8) []byte {
	return argon2id(room, []byte(password), record{memory: memory, passes: passes, lanes: lanes, salt: []byte(salt)})
}

// Stored returns a record with other parameters than today's.
func Stored(p Pepper, password string, memory, passes uint32, lanes uint8) string {
	r := record{memory: memory, passes: passes, lanes: lanes, pepper: p.ID, salt: make([]byte, saltSize)}
	mac := hmac.New(sha256.New, p.Key[:])
	mac.Write(argon2id(nil, []byte(password), r))
	r.tag = mac.Sum(nil)
	return r.String()
}

// Parse reads a record and returns what it is written again and how many KiB it
// asks to be filled.
func Parse(s string) (string, uint32, bool) {
	r, err := parse(s)
	return r.String(), r.memory * r.passes, err == nil
}
