package hub

// Redact lets redact replace frames of the ring, which are never changed in place, if there has been
// something to look at since the last time. What is on its way to connections stays as it is.
func (ch *Channel) Redact(redact func(events, following []Event)) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if !ch.unseen {
		return
	}
	n := 0 // what the fan-out is done with, and alone may be written to
	for fanned := ch.fanned.Load(); n < len(ch.ring) && ch.ring[n].Seq <= fanned; n++ {
	}
	ch.unseen = n < len(ch.ring)
	redact(ch.ring[:n], ch.ring[n:])
	ch.ringBytes = 0
	for _, e := range ch.ring {
		ch.ringBytes += len(e.Frame)
	}
}
