package event_test

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley.chat/shared-contracts/event"
)

func items(n int) []event.Item {
	e := sample()
	all := make([]event.Item, n)
	for i := range all {
		all[i] = event.Item{
			Epoch: e.Epoch, Seq: int64(43 + i), EntryID: "1767225600123-" + strconv.Itoa(i), Kind: event.Message, Sender: e.Sender,
			Frame: []byte(`{"type":"message","seq":` + strconv.Itoa(43+i) + `,"body":"a b\n"}`),
		}
	}
	return all
}

// join joins items, as the append script does for one call.
func join(all []event.Item) []byte {
	var encoded [][]byte
	for _, it := range all {
		encoded = append(encoded, it.Encode())
	}
	return bytes.Join(encoded, []byte{'\n'})
}

func decodeItems(b []byte) (all []event.Item, err error) {
	err = event.DecodeItems(b, func(it event.Item) { all = append(all, it) })
	return all, err
}

func TestDecodeItems(t *testing.T) {
	for n := range 5 {
		want := items(n)
		got, err := decodeItems(join(want))
		if err != nil || len(got) != n || n > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("%d items: %+v, %v", n, got, err)
		}
	}
}

// TestDecodeItems_framesAreApart checks that appending to a frame does not overwrite the next one,
// since all frames share the memory of the received message.
func TestDecodeItems_framesAreApart(t *testing.T) {
	b := join(items(2))
	before := slices.Clone(b)
	got, err := decodeItems(b)
	if err != nil {
		t.Fatal(err)
	}
	_ = append(got[0].Frame, "XXXXXXXX"...)
	if !bytes.Equal(b, before) {
		t.Error("appending to a frame changed the payload")
	}
}

// TestDecodeItems_corrupt checks that the items before a corrupt one are passed on. The items after
// it leave a gap, which the hub fills.
func TestDecodeItems_corrupt(t *testing.T) {
	good := items(2)
	for name, bad := range map[string]string{
		"no header":             "garbage",
		"few words":             "1 1-a 45 1-1 message\n{}",
		"many words":            "1 1-a 45 1-1 message 019b7d5c-0000-7000-8000-0000000000aa x\n{}",
		"two spaces":            "1 1-a  45 1-1 message 019b7d5c-0000-7000-8000-0000000000aa\n{}",
		"version":               "x 1-a 45 1-1 message 019b7d5c-0000-7000-8000-0000000000aa\n{}",
		"version 0":             "0 1-a 45 1-1 message 019b7d5c-0000-7000-8000-0000000000aa\n{}",
		"seq":                   "1 1-a -1 1-1 message 019b7d5c-0000-7000-8000-0000000000aa\n{}",
		"seq is not an integer": "1 1-a 4.5 1-1 message 019b7d5c-0000-7000-8000-0000000000aa\n{}",
		"sender":                "1 1-a 45 1-1 message ann\n{}",
		"epoch":                 "1 - 45 1-1 message 019b7d5c-0000-7000-8000-0000000000aa\n{}",
		"an empty line":         "\n{}",
		"an older frame":        `{"type":"message"}` + "\n" + `{"type":"message"}`,
	} {
		t.Run(name, func(t *testing.T) {
			b := append(append(join(good), '\n'), bad...)
			b = append(append(b, '\n'), items(1)[0].Encode()...)
			got, err := decodeItems(b)
			if err == nil || !reflect.DeepEqual(got, good) {
				t.Errorf("got %d items, %v; want the 2 items before the corrupt one and an error", len(got), err)
			}
			if errors.Is(err, event.ErrNewer) {
				t.Error("a corrupt item must not be reported as a newer version")
			}
		})
	}
	newer := append(append(join(good), '\n'), "2 1-a 45 1-1 poll 019b7d5c-0000-7000-8000-0000000000aa\n{}"...)
	if got, err := decodeItems(newer); !errors.Is(err, event.ErrNewer) || len(got) != 2 {
		t.Errorf("newer: %d items, %v", len(got), err)
	}
}

func TestItem_AppendedAt(t *testing.T) {
	if got := (event.Item{EntryID: "1767225600123-4"}).AppendedAt(); got.UnixMilli() != 1767225600123 {
		t.Errorf("appended at %v", got)
	}
	for _, id := range []string{"", "x-1"} { // a search stops at old items, so the item must not look old
		if got := (event.Item{EntryID: id}).AppendedAt(); time.Since(got) > time.Hour {
			t.Errorf("%q: appended at %v, want now", id, got)
		}
	}
}

func TestItem_ephemeral(t *testing.T) {
	it := event.Item{Kind: "typing", Sender: sample().Sender, Frame: []byte("{}")}
	if !it.Ephemeral() || items(1)[0].Ephemeral() {
		t.Error("exactly the items without a seq must be ephemeral")
	}
}

// FuzzDecodeItems checks that no input causes a panic, and that decoded items are equal after
// encoding and decoding.
func FuzzDecodeItems(f *testing.F) {
	f.Add(join(items(3)))
	f.Add([]byte("1 - 0 - typing 019b7d5c-0000-7000-8000-0000000000aa\n{}\n1 - 0 - typing 019b7d5c-0000-7000-8000-0000000000aa\n"))
	f.Add([]byte("\n\n\n"))
	f.Add([]byte(strings.Repeat("1 ", 6)))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, _ := decodeItems(b)
		again, err := decodeItems(join(got))
		if err != nil && len(got) > 0 {
			t.Fatalf("an accepted item is rejected after encoding: %v", err)
		}
		if !bytes.Equal(join(again), join(got)) {
			t.Fatalf("%q then %q", join(got), join(again))
		}
	})
}

// FuzzItems_join checks that joined items can be separated again, whatever their frames contain,
// except newlines.
func FuzzItems_join(f *testing.F) {
	f.Add("{}", `{"body":"1 1-a 45 1-1 message"}`)
	f.Add("", "")
	f.Fuzz(func(t *testing.T, one, two string) {
		if strings.Contains(one+two, "\n") {
			return
		}
		want := items(2)
		want[0].Frame, want[1].Frame = []byte(one), []byte(two)
		got, err := decodeItems(join(want))
		if err != nil || len(got) != 2 || string(got[0].Frame) != one || string(got[1].Frame) != two || got[1].Seq != want[1].Seq {
			t.Fatalf("%q, %q: %+v, %v", one, two, got, err)
		}
	})
}

func TestKind_fromMember(t *testing.T) {
	for k, want := range map[event.Kind]bool{
		event.Message: true, event.Edit: true, event.Delete: true, event.Reaction: true,
		event.MemberJoined: false, event.MemberLeft: false, event.ChannelUpdated: false, event.Gap: false,
	} {
		if k.FromMember() != want {
			t.Errorf("%s: FromMember() = %v", k, !want)
		}
	}
}

func BenchmarkDecodeItems(b *testing.B) {
	payload := join(items(8))
	b.ReportAllocs()
	for b.Loop() {
		if err := event.DecodeItems(payload, func(event.Item) {}); err != nil {
			b.Fatal(err)
		}
	}
}
