package hub

// Redact calls redact to replace frames in the ring, if the ring may hold deletions that have not
// been processed yet. Frames are replaced, never changed in place. Frames that are already being
// sent to connections are not replaced.
func (ch *Channel) Redact(redact func(events, following []Event)) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if !ch.unredacted {
		return
	}
	n := 0 // number of events that the fan-out has finished sending; only their frames may be replaced
	for fanned := ch.fanned.Load(); n < len(ch.ring) && ch.ring[n].Seq <= fanned; n++ {
	}
	ch.unredacted = n < len(ch.ring)
	redact(ch.ring[:n], ch.ring[n:])
	ch.ringBytes = 0
	for _, e := range ch.ring {
		ch.ringBytes += len(e.Frame)
	}
}
