package hub

// Recent returns the events in the ring: the newest events in the channel that this gateway has
// seen, in ascending order without holes. The caller must not change their frames.
func (ch *Channel) Recent() []Event {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return append([]Event(nil), ch.ring...)
}
