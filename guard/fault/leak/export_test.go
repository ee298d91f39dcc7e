package leak

// Break gives s a Scanner that panics at the first byte that it looks at.
func Break(s *Stream) { s.sift.scan = &Scanner{} }
