package chatservice_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"parley.chat/chat-service/internal/chattest"
	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/proctest"
	"parley.chat/shared-contracts/notice"
	"parley.chat/shared-contracts/rediskey"
)

// TestOutbox_killedBetweenCommitAndPublish kills the process after changes are committed but before
// they are published. The next process publishes every kind of change in order, and every event
// exactly once.
func TestOutbox_killedBetweenCommitAndPublish(t *testing.T) {
	t.Parallel()
	w := &world{World: chattest.OpenWithRedis(t), client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, keys: t.TempDir()}
	start := func() *proctest.Process {
		addr := fmt.Sprintf("127.0.0.1:%d", proctest.FreePort(t))
		w.url = "http://" + addr
		return proctest.Start(t, "chat-service", nil, map[string]string{
			"CHAT_ADDR": addr, "DATABASE_URL": w.PG.URL, "REDIS_URL": w.Redis.URL(), "JWT_KEYS_DIR": w.keys, "ADD_WITHOUT_INVITATION": "anyone",
		})
	}
	p := start()
	p.WaitReady(t, w.url+"/readyz")
	ann, bob, cyd := w.signup("ann"), w.signup("bob"), w.signup("cyd")
	general, doomed := w.create(ann, "general", "public"), w.create(ann, "doomed", "public")
	w.join(bob, doomed.ID)
	g := w.group(ann, "team", map[user]string{bob: "member"})
	theirs := w.channelIn(ann, g, "theirs", "public")
	w.join(bob, theirs.ID)
	w.Settled()

	w.Redis.Kill(t) // the following changes are committed but cannot be published
	w.join(bob, general.ID)
	w.add(ann, general.ID, cyd, "member")
	w.do("PATCH", path(general.ID)+"/members/"+cyd.ID.String(), ann, object{"role": "admin"}).must(t, 200)
	w.do("PATCH", path(general.ID), ann, object{"name": "tea"}).must(t, 200)
	w.do("DELETE", path(general.ID)+"/members/"+cyd.ID.String(), ann, nil).must(t, 204)
	w.do("DELETE", path(doomed.ID), ann, nil).must(t, 204)
	w.do("PATCH", "/v1/groups/"+g.ID.String(), ann, object{"name": "crew"}).must(t, 200)
	w.do("DELETE", "/v1/groups/"+g.ID.String()+"/members/"+bob.ID.String(), ann, nil).must(t, 204)
	var dm summary
	w.do("POST", "/v1/dms", ann, object{"user_id": bob.ID}).into(t, 201, &dm)
	p.Kill(t)

	w.Redis.Start(t)
	testkit.Until(t, testkit.Timeout, func() error { return w.RDB.Ping(t.Context()).Err() })
	heard := w.listen(bob, cyd)
	start()
	w.Settled()
	if got := w.EventLog(general.ID); got != "1 member_joined ann, 2 member_joined bob, 3 member_joined cyd, 4 channel_updated, 5 channel_updated, 6 member_left cyd" {
		t.Errorf("events: %s", got)
	}
	if got := w.EventLog(doomed.ID); got != "1 member_joined ann, 2 member_joined bob, 3 channel_updated" {
		t.Errorf("events: %s", got)
	}
	if got := w.EventLog(theirs.ID); got != "1 member_joined ann, 2 member_joined bob, 3 member_left bob" {
		t.Errorf("events: %s", got)
	}
	want := []string{
		fmt.Sprint("bob channel_added ", general.ID), fmt.Sprint("cyd channel_added ", general.ID), fmt.Sprint("cyd channel_removed ", general.ID),
		fmt.Sprint("bob channel_removed ", doomed.ID), fmt.Sprint("bob channel_removed ", theirs.ID), fmt.Sprint("bob channel_added ", dm.ID),
		fmt.Sprint("bob updated ", g.ID), fmt.Sprint("bob removed ", g.ID),
	}
	testkit.Until(t, testkit.Timeout, func() error {
		got := heard()
		for _, n := range want {
			if !slices.Contains(got, n) {
				return fmt.Errorf("%s is missing in\n%s", n, strings.Join(got, "\n"))
			}
		}
		return nil
	})
}

// listen subscribes to the topics of users. It returns a function that returns the notices received
// so far, in short form.
func (w *world) listen(users ...user) func() []string {
	w.T.Helper()
	var mu sync.Mutex
	var heard []string
	for _, u := range users {
		sub := w.RDB.SSubscribe(w.T.Context(), rediskey.UserTopic(rediskey.Of(u.ID.UUID, partitions), u.ID))
		if _, err := sub.Receive(w.T.Context()); err != nil {
			w.T.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for msg := range sub.Channel() {
				n, err := notice.Decode([]byte(msg.Payload))
				if err != nil {
					w.T.Error(err)
					continue
				}
				text := u.Name + " "
				if n.GroupID != nil {
					text += n.Change + " " + n.GroupID.String()
				} else {
					text += fmt.Sprint(n.Kind, " ", n.ChannelID)
				}
				mu.Lock()
				heard = append(heard, text)
				mu.Unlock()
			}
		}()
		w.T.Cleanup(func() {
			_ = sub.Close()
			<-done
		})
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(heard)
	}
}
