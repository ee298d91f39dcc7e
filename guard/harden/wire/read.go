package wire

import "io"

var errEOF = io.EOF

type state int

type head struct{}
type body struct{}

// Read hands on bytes that were checked.
func (c *Conn) Read(p []byte) (int, error) { return c.idleRead(p) }

// Close ends the connection.
func (c *Conn) Close() error { return c.c.Close() }
