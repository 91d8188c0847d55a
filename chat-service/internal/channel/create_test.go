package channel

import (
	"sync"
	"testing"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/api"
)

// TestCreate_concurrentSameName checks that only one of several concurrent requests gets a name.
func TestCreate_concurrentSameName(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ann := f.User("ann")
	var errs [8]error
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			_, errs[i] = f.create(t.Context(), ann, api.ChannelCreation{Name: "general", Kind: chat.Public})
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else {
			f.WantCode("a request that lost the race", err, apierr.NameTaken)
		}
	}
	if n := f.Text("select count(*)::text from channels"); won != 1 || n != "1" {
		t.Errorf("%d requests succeeded, %s channels; want 1 and 1", won, n)
	}
}
