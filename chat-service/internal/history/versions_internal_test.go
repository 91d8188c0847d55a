package history

import (
	"testing"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/chattest"
)

// TestHideOldVersions_noLongerAMember checks that a user who leaves the channel during a request
// gets the same error as one who left before it.
func TestHideOldVersions_noLongerAMember(t *testing.T) {
	t.Parallel()
	w := chattest.Open(t, "ann", "bob")
	s := &Service{cfg: Config{DB: w.DB}}
	for kind, want := range map[chat.ChannelKind]apierr.Code{chat.Public: apierr.Forbidden, chat.Private: apierr.NotFound} {
		c := w.Channel(kind, string(kind), "ann")
		w.WantCode(string(kind), s.hideOldVersions(t.Context(), c, w.ID("bob"), nil, nil), want)
	}
}
