package chatservice_test

import (
	"context"
	"testing"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/shared-contracts/notice"
	"parley.chat/shared-contracts/rediskey"
)

// TestContact_blockNotifiesGateways checks that a block is announced to the gateways of both users,
// because from then on neither user may write to the other.
func TestContact_blockNotifiesGateways(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann, bob := w.signup("ann"), w.signup("bob")
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Timeout)
	defer cancel()
	var waiting []func()
	for _, u := range []user{ann, bob} {
		sub := w.RDB.SSubscribe(ctx, rediskey.UserTopic(rediskey.Of(u.ID.UUID, partitions), u.ID))
		defer sub.Close()
		if _, err := sub.Receive(ctx); err != nil {
			t.Fatal(err)
		}
		waiting = append(waiting, func() {
			msg, err := sub.ReceiveMessage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			n, err := notice.Decode([]byte(msg.Payload))
			if err != nil || n.Kind != notice.Blocked || n.UserID != u.ID || n.By == nil || *n.By != bob.ID {
				t.Errorf("%s received %s, %v", u.Name, msg.Payload, err)
			}
		})
	}
	w.do("POST", "/v1/contacts/"+ann.ID.String()+"/block", bob, nil).must(t, 204)
	for _, wait := range waiting {
		wait()
	}
}
