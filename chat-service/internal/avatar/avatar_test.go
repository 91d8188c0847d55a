package avatar

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// drawn returns a picture in one color; with alpha, its left half is transparent.
func drawn(width, height int, alpha bool) image.Image {
	m := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			c := color.NRGBA{R: 200, G: 30, B: 30, A: 255}
			if alpha && x < width/2 {
				c.A = 0
			}
			m.SetNRGBA(x, y, c)
		}
	}
	return m
}

func encoded(t *testing.T, format string, m image.Image) []byte {
	t.Helper()
	var out bytes.Buffer
	var err error
	switch format {
	case "png":
		err = png.Encode(&out, m)
	case "jpeg":
		err = jpeg.Encode(&out, m, nil)
	case "gif":
		err = gif.Encode(&out, m, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestMake checks that the result is a small square PNG or JPEG without any other data from the
// original file.
func TestMake(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name          string
		source        []byte
		side          int
		contentType   string
		transparentAt bool
	}{
		{"a wide PNG", encoded(t, "png", drawn(900, 300, false)), 256, "image/jpeg", false},
		{"a tall JPEG", encoded(t, "jpeg", drawn(300, 700, false)), 256, "image/jpeg", false},
		{"a small GIF", encoded(t, "gif", drawn(20, 10, false)), 10, "image/jpeg", false},
		{"a transparent PNG", encoded(t, "png", drawn(300, 300, true)), 256, "image/png", true},
		{"a comment at the end", append(encoded(t, "png", drawn(300, 300, false)), "<script>alert(1)</script>"...), 256, "image/jpeg", false},
	} {
		p, err := Make(tt.source)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		m, format, err := image.Decode(bytes.NewReader(p.Data))
		if err != nil || m.Bounds().Dx() != tt.side || m.Bounds().Dy() != tt.side || p.Type != tt.contentType || "image/"+format != p.Type {
			t.Errorf("%s: %s, %v, %v; want %s of %d pixels", tt.name, p.Type, m.Bounds(), err, tt.contentType, tt.side)
			continue
		}
		if r, _, _, a := m.At(1, 1).RGBA(); tt.transparentAt != (a == 0) || !tt.transparentAt && r < 150<<8 {
			t.Errorf("%s: at 1, 1 red is %d, alpha %d", tt.name, r, a)
		}
		if bytes.Contains(p.Data, []byte("script")) || len(p.Hash) != 64 {
			t.Errorf("%s: hash %q, or the result contains the comment", tt.name, p.Hash)
		}
	}
}

// bomb returns a decompression bomb: a small PNG that claims to be huge.
func bomb(t *testing.T) []byte {
	t.Helper()
	b := encoded(t, "png", drawn(1, 1, false))
	binary.BigEndian.PutUint32(b[16:], 60000)
	binary.BigEndian.PutUint32(b[20:], 60000)
	binary.BigEndian.PutUint32(b[29:], crc32.ChecksumIEEE(b[12:29]))
	return b
}

func TestMake_refuses(t *testing.T) {
	t.Parallel()
	whole := encoded(t, "png", drawn(100, 100, false))
	for _, tt := range []struct {
		name   string
		source []byte
		want   string
	}{
		{"nothing", nil, "is not a PNG"},
		{"an HTML page", []byte("<html><svg onload=alert(1)>"), "is not a PNG"},
		{"half a picture", whole[:len(whole)/2], "is not a PNG"},
		{"a huge one in a small file", bomb(t), "has 60000 × 60000 pixels"},
	} {
		if _, err := Make(tt.source); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// local returns a Fetcher that treats a test server as a public server.
func local(t *testing.T, server *httptest.Server) *Fetcher {
	t.Helper()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	f := NewFetcher()
	f.port = u.Port()
	f.allowed = func(a netip.AddrPort) bool { return a.String() == u.Host }
	f.client.Transport.(*http.Transport).TLSClientConfig = server.Client().Transport.(*http.Transport).TLSClientConfig
	return f
}

func TestFetch(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	server := httptest.NewTLSServer(mux)
	t.Cleanup(server.Close)
	var inside atomic.Int64
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inside.Add(1) }))
	t.Cleanup(plain.Close)
	private := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inside.Add(1) }))
	t.Cleanup(private.Close)

	picture := encoded(t, "png", drawn(300, 300, false))
	mux.HandleFunc("/a.png", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cookie") != "" || r.Header.Get("Referer") != "" {
			t.Errorf("the request has headers that it should not have: %v", r.Header)
		}
		_, _ = w.Write(picture)
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/a.png", http.StatusFound) })
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/endless", http.StatusFound) })
	mux.HandleFunc("/inside", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, plain.URL, http.StatusFound) })
	mux.HandleFunc("/private", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, private.URL, http.StatusFound) })
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, maxBytes+1)) })
	mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) })
	f := local(t, server)
	for _, path := range []string{"/a.png", "/moved"} {
		p, err := f.Fetch(t.Context(), server.URL+path)
		if err != nil || p.Type != "image/jpeg" {
			t.Errorf("%s: %s, %v", path, p.Type, err)
		}
	}
	for address, want := range map[string]error{
		server.URL + "/endless": errSilent, server.URL + "/inside": errAddress, server.URL + "/private": errAddress,
		server.URL + "/large": errTooBig, server.URL + "/page": errFormat, server.URL + "/nothing": errSilent,
		plain.URL: errAddress, private.URL: errAddress, "https://user:pw@" + strings.TrimPrefix(server.URL, "https://"): errAddress,
		"file:///etc/passwd": errAddress, "https://": errAddress, "https://[::1": errAddress, "/v1/avatars/x": errAddress,
	} {
		if _, err := f.Fetch(t.Context(), address); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", address, err, want)
		}
	}
	if n := inside.Load(); n != 0 {
		t.Errorf("%d requests reached an internal server", n)
	}
	// The host name is resolved before the address is checked, so a name that resolves to an
	// internal address is refused.
	if _, err := NewFetcher().Fetch(t.Context(), "https://localhost/a.png"); !errors.Is(err, errAddress) {
		t.Errorf("localhost: %v, want %v", err, errAddress)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Fetch(ctx, server.URL+"/a.png"); !errors.Is(err, errSilent) {
		t.Errorf("with a canceled context: %v", err)
	}
}

func TestPublic(t *testing.T) {
	t.Parallel()
	for _, a := range []string{"93.184.215.14:443", "[2606:2800:21f:cb07:6820:80da:af6b:8b2c]:443"} {
		if !public(netip.MustParseAddrPort(a)) {
			t.Errorf("%s is refused", a)
		}
	}
	for _, a := range []string{
		"93.184.215.14:80", "127.0.0.1:443", "10.1.2.3:443", "172.16.0.1:443", "192.168.1.1:443", "169.254.169.254:443", "100.64.0.1:443", "0.0.0.0:443",
		"224.0.0.1:443", "255.255.255.255:443", "198.18.0.1:443", "[::1]:443", "[::]:443", "[fe80::1]:443", "[fd00:ec2::254]:443", "[64:ff9b::7f00:1]:443",
		"[2002:7f00:1::]:443", "[::ffff:127.0.0.1]:443",
	} {
		if public(netip.MustParseAddrPort(a)) {
			t.Errorf("%s is treated as public", a)
		}
	}
}
