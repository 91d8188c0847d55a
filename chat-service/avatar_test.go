package chatservice_test

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/png"
	"strings"
	"testing"

	chatservice "parley.chat/chat-service"
	"parley.chat/chat-service/internal/avatar"
	"parley.chat/shared-contracts/apierr"
)

// album maps addresses to the pictures that a test serves instead of the internet.
type album map[string][]byte

// Fetch implements account.Pictures.
func (a album) Fetch(_ context.Context, address string) (avatar.Picture, error) {
	source, ok := a[address]
	if !ok {
		return avatar.Picture{}, apierr.Violates(apierr.FieldPictureUnreachable, "does not answer with a picture in time")
	}
	return avatar.Make(source)
}

func onePixel(t *testing.T, c color.Color) []byte {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, 1, 1))
	m.Set(0, 0, c)
	var out bytes.Buffer
	if err := png.Encode(&out, m); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestAvatar checks that other users see only this server's copy of a picture, never the address
// that its owner gave, until the owner removes the picture.
func TestAvatar(t *testing.T) {
	t.Parallel()
	const red, blue = "https://pictures.test/red.png", "https://pictures.test/blue.png"
	w := newWorld(t, func(c *chatservice.Config) {
		c.Pictures = album{red: onePixel(t, color.White), blue: onePixel(t, color.Black), "https://pictures.test/page": []byte("<html>")}
	})
	ann, bob := w.signup("ann"), w.signup("bob")
	var me struct {
		AvatarURL string `json:"avatar_url"`
	}
	patch := func(u user, url any) answer {
		return w.send(request{method: "PATCH", path: "/v1/me", token: u.Token, body: object{"avatar_url": url}})
	}
	patch(ann, red).into(t, 200, &me)
	first := me.AvatarURL
	if !strings.HasPrefix(first, "/v1/avatars/") {
		t.Fatalf("avatar_url = %q", first)
	}
	picture := w.get(first, "") // an <img> element sends no token
	if picture.status != 200 || picture.header.Get("Content-Type") != "image/jpeg" || picture.header.Get("X-Content-Type-Options") != "nosniff" ||
		!strings.Contains(picture.header.Get("Cache-Control"), "immutable") || !strings.Contains(picture.header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("picture: %d %v", picture.status, picture.header)
	}
	var seen struct {
		AvatarURL string `json:"avatar_url"`
	}
	w.get("/v1/users/"+ann.ID.String(), bob.Token).into(t, 200, &seen)
	if seen.AvatarURL != first {
		t.Errorf("other users see %q", seen.AvatarURL)
	}
	patch(ann, first).into(t, 200, &me) // a form may send the current value back
	patch(ann, nil).into(t, 200, &me)
	if me.AvatarURL != first {
		t.Errorf("after an empty change: %q", me.AvatarURL)
	}
	for _, bad := range []string{"https://pictures.test/nothing", "https://pictures.test/page", "http://pictures.test/red.png", "javascript:alert(1)", "/v1/avatars/x"} {
		if p := patch(ann, bad).want(t, 422, "invalid_request"); p.Errors[0].Field != "avatar_url" {
			t.Errorf("%s: errors = %+v", bad, p.Errors)
		}
	}
	patch(bob, red).into(t, 200, &me)
	patch(ann, blue).into(t, 200, &me)
	if me.AvatarURL == first || w.get(first, "").status != 200 || w.Count("select count(*) from avatars") != 2 {
		t.Errorf("after ann changed her picture: %q, %d pictures stored", me.AvatarURL, w.Count("select count(*) from avatars"))
	}
	patch(bob, "").into(t, 200, &me)
	w.get(first, "").want(t, 404, "not_found")
	if me.AvatarURL != "" {
		t.Errorf("after its removal: %q", me.AvatarURL)
	}
	w.get("/v1/avatars/..%2f", "").want(t, 404, "not_found")
	a := w.send(request{method: "DELETE", path: "/v1/me", token: ann.Token, body: object{"password": goodPassword}})
	if a.status != 204 || w.Count("select count(*) from avatars") != 0 {
		t.Errorf("delete the account: %d, %d pictures left", a.status, w.Count("select count(*) from avatars"))
	}
}
