package contact

import (
	"testing"

	"parley.chat/chat-service/internal/api"
)

// TestRelation is the table of how two stand to each other.
func TestRelation(t *testing.T) {
	const none = api.ContactState("")
	for _, tt := range []struct {
		mine, theirs string
		want         api.ContactState
	}{
		{"", "", none},
		{"", "blocked", none}, // who is blocked must not see it
		{"", "requested", api.ContactStateReceived},
		{"", "accepted", api.ContactStateReceived},
		{"requested", "", api.ContactStateRequested},
		{"requested", "blocked", api.ContactStateRequested},
		{"requested", "requested", api.ContactStateAccepted},
		{"accepted", "requested", api.ContactStateAccepted},
		{"accepted", "blocked", api.ContactStateRequested},
		{"blocked", "", api.ContactStateBlocked},
		{"blocked", "requested", api.ContactStateBlocked},
		{"blocked", "blocked", api.ContactStateBlocked},
	} {
		got, any := relation(tt.mine, tt.theirs)
		if got != tt.want || any != (tt.want != none) {
			t.Errorf("relation(%q, %q) = %q, %v; want %q", tt.mine, tt.theirs, got, any, tt.want)
		}
	}
}
