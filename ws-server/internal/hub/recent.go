package hub

// Recent returns what the ring holds: the newest events that this gateway has seen of the channel,
// ascending and without a hole. Its frames must not be changed.
func (ch *Channel) Recent() []Event {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return append([]Event(nil), ch.ring...)
}
