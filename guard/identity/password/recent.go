package password

import "container/list"

// recent is a map of bounded size that forgets what was used least recently.
type recent[K comparable, V any] struct {
	most  int
	byKey map[K]*list.Element
	order *list.List // of pair, the latest in front
}

type pair[K comparable, V any] struct {
	key   K
	value V
}

func newRecent[K comparable, V any](most int) *recent[K, V] {
	return &recent[K, V]{most, map[K]*list.Element{}, list.New()}
}

// look returns the value of a key, nil where there is none. It is no use of it.
func (m *recent[K, V]) look(k K) *V {
	if e := m.byKey[k]; e != nil {
		return &e.Value.(*pair[K, V]).value
	}
	return nil
}

// use returns the value of a key, which begins as the zero value.
func (m *recent[K, V]) use(k K) *V {
	if e := m.byKey[k]; e != nil {
		m.order.MoveToFront(e)
		return &e.Value.(*pair[K, V]).value
	}
	if len(m.byKey) >= m.most {
		last := m.order.Back()
		delete(m.byKey, last.Value.(*pair[K, V]).key)
		m.order.Remove(last)
	}
	p := &pair[K, V]{key: k}
	m.byKey[k] = m.order.PushFront(p)
	return &p.value
}

func (m *recent[K, V]) forget(k K) {
	if e := m.byKey[k]; e != nil {
		delete(m.byKey, k)
		m.order.Remove(e)
	}
}
