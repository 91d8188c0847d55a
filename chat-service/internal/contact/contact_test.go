package contact

import (
	"testing"

	"parley.chat/chat-service/internal/api"
)

// TestRelation checks the relation for all combinations of states.
func TestRelation(t *testing.T) {
	const none = api.ContactState("")
	for _, tt := range []struct {
		mine, theirs string
		want         api.ContactState
	}{
		{"", "", none},
		{"", "blocked", none}, // a blocked user must not see the block
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
