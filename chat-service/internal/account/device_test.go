package account

import (
	"fmt"
	"testing"
)

func (f *fixture) known(u *user, raw string) bool {
	f.T.Helper()
	known, err := f.isKnown(f.T.Context(), u, device{proof: hashDevice(raw)})
	if err != nil {
		f.T.Fatal(err)
	}
	return known
}

// TestDevice_replaced checks that a login replaces the token of its device for all users of the
// device, and that a device is known only to users who have logged in from it.
func TestDevice_replaced(t *testing.T) {
	t.Parallel()
	f := newFixture(t, noLimit)
	ann, first := f.register("ann")
	bob, _ := f.register("bob")
	if !f.known(ann, first.device) || f.known(bob, first.device) || f.known(nil, first.device) || f.known(ann, "") || f.known(ann, "made-up") {
		t.Error("only ann's own device must be known, and only to her")
	}
	at := func(raw string) device { return device{address: home.address, proof: hashDevice(raw)} }
	second := f.mustLogIn("bob", goodPassword, at(first.device))
	for name, u := range map[string]*user{"ann": ann, "bob": bob} {
		if f.known(u, first.device) {
			t.Errorf("%s: the old token is still known", name)
		}
		if !f.known(u, second.device) {
			t.Errorf("%s: the new token is not known", name)
		}
	}
	f.Exec("update devices set used_at = now() - interval '401 days'")
	if f.known(ann, second.device) {
		t.Error("a device without a login for 401 days is still known")
	}
}

// TestDevice_bounded checks that a login from one more device than allowed makes the service forget
// the least recently used device.
func TestDevice_bounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t, noLimit)
	ann, first := f.register("ann")
	for i := range maxDevices - 1 {
		f.Exec("insert into devices (token_hash, user_id, used_at) values ($1, $2, now() - $3 * interval '1 minute')", hashDevice(fmt.Sprint(i)), ann.ID.String(), i+1)
	}
	next := f.mustLogIn("ann", goodPassword, home)
	if n := f.Count("select count(*) from devices"); n != maxDevices {
		t.Errorf("%d known devices, want %d", n, maxDevices)
	}
	if oldest := fmt.Sprint(maxDevices - 2); f.known(ann, oldest) {
		t.Error("the least recently used device is still known")
	}
	for _, raw := range []string{first.device, next.device, fmt.Sprint(maxDevices - 3)} {
		if !f.known(ann, raw) {
			t.Errorf("device %s was forgotten", raw)
		}
	}
}
