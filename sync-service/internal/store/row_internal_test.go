package store

import (
	"encoding/json"
	"reflect"
	"testing"

	"parley.chat/internal/eventlog/eventrow"
	"parley.chat/shared-contracts/chat"
)

// TestSetData_shortcut checks that the fast path produces the same data as encoding/json.
func TestSetData_shortcut(t *testing.T) {
	t.Parallel()
	for _, want := range []eventrow.Data{
		{SenderName: "ann"},
		{SenderName: `a"b\c`},
		{SenderName: "Änn\n\x7f</script>"},
		{SenderName: "ann", Reason: "x"},
		{SenderName: "ann", Mentions: []chat.UserID{chat.NewUserID()}},
		{SenderName: "ann", Dropped: true},
		{Remove: true},
	} {
		var r Row
		if err := r.setData(want); err != nil {
			t.Fatal(err)
		}
		var got eventrow.Data
		if err := json.Unmarshal(r.Data, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("data %s, %v; want %+v", r.Data, err, want)
		}
	}
}
