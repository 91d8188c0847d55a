package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"parley.chat/shared-contracts/chat"
)

// TestEncode_asEncodingJSON compares the writers without reflection with encoding/json, for random
// field values. It fails if a field is added to the document but not to the writer.
func TestEncode_asEncodingJSON(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		var messages ListMessages200JSONResponse
		var channels ListChannels200JSONResponse
		fill(r, reflect.ValueOf(&messages).Elem())
		fill(r, reflect.ValueOf(&channels).Elem())
		for _, v := range []any{messages, channels} {
			var got, want bytes.Buffer
			if err := encode(&got, v); err != nil {
				t.Fatal(err)
			}
			enc := json.NewEncoder(&want)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(v); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want.Bytes()) {
				t.Fatalf("%T\ngot  %s\nwant %s", v, got.Bytes(), want.Bytes())
			}
		}
	}
}

var texts = []string{"", "hi", `a "quoted" \ text`, "<b>&amp;</b>", "tab\tline\nbell\x07", "\u2028 and \u2029", "bad \xff utf-8", "ünï 👍"}

// fill sets v and all its fields to random values, including nil pointers and empty slices.
func fill(r *rand.Rand, v reflect.Value) {
	switch v.Interface().(type) {
	case chat.Time:
		v.Set(reflect.ValueOf(chat.At(time.UnixMilli(r.Int64N(1 << 41)))))
		return
	case uuid.UUID:
		for i := range v.Len() {
			v.Index(i).SetUint(uint64(r.UintN(256)))
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(r, v.Field(i))
		}
	case reflect.Pointer:
		if r.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem())
		}
	case reflect.Slice:
		if r.IntN(4) > 0 {
			v.Set(reflect.MakeSlice(v.Type(), r.IntN(4), 4))
			for i := range v.Len() {
				fill(r, v.Index(i))
			}
		}
	case reflect.String:
		v.SetString(texts[r.IntN(len(texts))])
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int, reflect.Int64:
		v.SetInt(r.Int64N(1<<40) - 5)
	default:
		panic(fmt.Sprint("no value for ", v.Type()))
	}
}
