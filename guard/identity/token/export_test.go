package token

// Remembered returns how many tokens are in the cache.
func Remembered(v *Verifier) int {
	v.cache.mu.RLock()
	defer v.cache.mu.RUnlock()
	return len(v.cache.at)
}
