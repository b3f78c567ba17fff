package seal_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"latchkey/internal/seal"
)

type limits struct {
	Days   int   `json:"days"`
	Logins *int  `json:"logins"`
	At     int64 `json:"at,omitempty"`
}

type base struct {
	Version uint64 `json:"version"`
	Hidden  string `json:"name"` // the outer name wins
}

type document struct {
	base
	Name    string `json:"name"`
	Plain   bool   // key "Plain"
	Skipped string `json:"-"`
	//lint:ignore SA5008 a key named - is what is tested
	Dash   string            `json:"-,"`
	Limits limits            `json:"limits"`
	Maybe  *limits           `json:"maybe"`
	List   []limits          `json:"list"`
	By     map[string]limits `json:"by"`
	Raw    json.RawMessage   `json:"raw"`
	Any    any               `json:"any"`
	Key    [3]byte           `json:"key"`
	Blob   []byte            `json:"blob"`
	ByID   map[int]string    `json:"by_id"`
	//lint:ignore U1000 that it is passed over is what is tested
	private string
}

func TestStrictJSONIsDecoded(t *testing.T) {
	t.Parallel()
	var got document
	err := seal.DecodeStrict([]byte(` {"version":18446744073709551615,"name":"näme \ud83d\ude00 \\ud800","Plain":true,"-":"d",
		"limits":{"days":7,"logins":null,"at":1763000000},"maybe":null,"list":[{"days":1},{}],
		"by":{"a":{"days":2},"A":{"days":3}},"raw":{"x":[1,{"y":null}]},"any":{"A":1,"a":2},
		"key":[1,2,3],"blob":"AQI="} `+"\n"), &got)
	if err != nil {
		t.Fatal(err)
	}
	want := document{
		base: base{Version: 1<<64 - 1}, Name: "näme 😀 \\ud800", Plain: true, Dash: "d",
		Limits: limits{Days: 7, At: 1763000000}, List: []limits{{Days: 1}, {}},
		By:  map[string]limits{"a": {Days: 2}, "A": {Days: 3}},
		Raw: json.RawMessage(`{"x":[1,{"y":null}]}`), Any: map[string]any{"A": 1.0, "a": 2.0},
		Key: [3]byte{1, 2, 3}, Blob: []byte{1, 2},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestJSONThatCanBeReadInTwoWaysIsRefused(t *testing.T) {
	t.Parallel()
	nest := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for name, tc := range map[string]struct{ data, want string }{
		"unknown key":                           {`{"nam":"x"}`, `unknown key "nam"`},
		"unknown key further down":              {`{"limits":{"day":1}}`, `"limits": unknown key "day"`},
		"unknown key in a list":                 {`{"list":[{},{"x":1}]}`, `"list": item 1: unknown key "x"`},
		"unknown key in a map":                  {`{"by":{"k":{"x":1}}}`, `unknown key "x"`},
		"unknown key behind a pointer":          {`{"maybe":{"x":1}}`, `unknown key "x"`},
		"key in another case":                   {`{"Name":"x"}`, `unknown key "Name"`},
		"key in another case, promoted":         {`{"VERSION":1}`, `unknown key "VERSION"`},
		"untagged key in lower case":            {`{"plain":true}`, `unknown key "plain"`},
		"folded letter that json takes for k":   {`{"\u212aey":[1,2,3]}`, `unknown key`},
		"folded letter that json takes for s":   {`{"limit\u017f":{}}`, `unknown key`},
		"field that json skips":                 {`{"Skipped":"x"}`, `unknown key "Skipped"`},
		"unexported field":                      {`{"private":"x"}`, `unknown key "private"`},
		"name of an embedded struct":            {`{"base":{}}`, `unknown key "base"`},
		"key twice":                             {`{"name":"a","name":"b"}`, `key "name" occurs twice`},
		"key twice, once escaped":               {`{"name":"a","n\u0061me":"b"}`, `key "name" occurs twice`},
		"key twice further down":                {`{"limits":{"days":1,"days":2}}`, `key "days" occurs twice`},
		"key twice in a map":                    {`{"by":{"a":{},"a":{}}}`, `key "a" occurs twice`},
		"key twice in a raw message":            {`{"raw":[{"q":{"a":1,"a":1}}]}`, `key "a" occurs twice`},
		"key twice in an interface":             {`{"any":{"a":1,"a":1}}`, `key "a" occurs twice`},
		"null for a number":                     {`{"limits":{"days":null}}`, `"limits": "days": is null`},
		"null for text":                         {`{"name":null}`, `is null`},
		"null for a struct":                     {`{"limits":null}`, `is null`},
		"null in a list of structs":             {`{"list":[null]}`, `is null`},
		"null for an array":                     {`{"key":null}`, `is null`},
		"null for the document":                 {`null`, `is null`},
		"array too short":                       {`{"key":[1,2]}`, `2 items instead of 3`},
		"array too long":                        {`{"key":[1,2,3,4]}`, `4 items instead of 3`},
		"second document":                       {`{} {}`, `not one json document`},
		"trailing text":                         {`{}x`, `not one json document`},
		"trailing zero byte":                    {"{}\x00", `not one json document`},
		"nothing":                               {``, `not one json document`},
		"byte order mark":                       {"\ufeff{}", `not one json document`},
		"trailing comma":                        {`{"name":"a",}`, `not one json document`},
		"comment":                               {`{/**/}`, `not one json document`},
		"invalid UTF-8 in a value":              {"{\"name\":\"\xff\"}", `not valid UTF-8`},
		"surrogate encoded in UTF-8":            {"{\"name\":\"\xed\xa0\x80\"}", `not valid UTF-8`},
		"high surrogate alone":                  {`{"name":"\ud800"}`, `surrogate`},
		"high surrogate before text":            {`{"name":"\ud800abcdef"}`, `surrogate`},
		"high surrogate twice":                  {`{"name":"\ud800\ud800"}`, `surrogate`},
		"high surrogate before another escape":  {`{"name":"\ud800\ue000"}`, `surrogate`},
		"low surrogate alone":                   {`{"name":"\udc00"}`, `surrogate`},
		"low surrogate after an escaped escape": {`{"name":"\\\udc00"}`, `surrogate`},
		"surrogate in a key of a raw message":   {`{"raw":{"\ud800":1}}`, `surrogate`},
		"nested too deep":                       {`{"raw":` + nest(32) + `}`, `deeper`},
		"nested ten thousand deep":              {`{"raw":` + nest(10001) + `}`, `not one json document`},
		"more than a mebibyte":                  {`{"name":"` + strings.Repeat("a", seal.MaxSize) + `"}`, `the most is`},
		"list for a struct":                     {`[]`, `no list`},
		"object for a number":                   {`{"limits":{"days":{"a":1}}}`, `no object`},
		"object for a list":                     {`{"list":{"a":1}}`, `no object`},
		"empty object for a list":               {`{"list":{}}`, `cannot unmarshal`},
		"map whose keys are numbers":            {`{"by_id":{"1":"a","01":"b"}}`, `no object`},
		"text for a number":                     {`{"limits":{"days":"7"}}`, `cannot unmarshal`},
		"fraction for an integer":               {`{"limits":{"days":1.5}}`, `cannot unmarshal`},
		"number that does not fit":              {`{"version":18446744073709551616}`, `cannot unmarshal`},
		"negative for unsigned":                 {`{"version":-1}`, `cannot unmarshal`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := document{Name: "before"}
			err := seal.DecodeStrict([]byte(tc.data), &got)
			if !errors.Is(err, seal.ErrNotStrict) || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v, want %q", err, tc.want)
			}
			if !reflect.DeepEqual(got, document{}) {
				t.Errorf("a refused document left %+v", got)
			}
		})
	}
}

func TestNestingUpToTheLimitIsDecoded(t *testing.T) {
	t.Parallel()
	var got any
	if err := seal.DecodeStrict([]byte(strings.Repeat("[", 32)+strings.Repeat("]", 32)), &got); err != nil {
		t.Error(err)
	}
}

func TestFieldsThatShareAKeyAreAnError(t *testing.T) {
	t.Parallel()
	type left struct{ X int }
	type right struct{ X int }
	var embedded struct {
		left
		right
	}
	own := reflect.New(reflect.StructOf([]reflect.StructField{ // vet refuses to see it spelt out
		{Name: "A", Type: reflect.TypeFor[int](), Tag: `json:"X"`},
		{Name: "B", Type: reflect.TypeFor[int](), Tag: `json:"X"`},
	})).Interface()
	for _, v := range []any{&embedded, own} {
		if err := seal.DecodeStrict([]byte(`{"X":1}`), v); err == nil || !strings.Contains(err.Error(), "two fields") {
			t.Errorf("%T: %v", v, err)
		}
	}
}

func TestOnlyAPointerIsDecodedInto(t *testing.T) {
	t.Parallel()
	for _, v := range []any{nil, document{}, (*document)(nil), map[string]int{}} {
		if err := seal.DecodeStrict([]byte(`{}`), v); err == nil {
			t.Errorf("%T was taken", v)
		}
	}
}

// A long key above a long list once copied the key for every item.
func TestAKeyThatOccursTwiceIsRefusedHoweverManyThereAre(t *testing.T) {
	t.Parallel()
	for first := range 40 {
		var doc strings.Builder
		for i := range 40 {
			fmt.Fprintf(&doc, `"k%d":%d,`, i, i)
		}
		var got map[string]int
		if err := seal.DecodeStrict([]byte("{"+doc.String()+`"z":0}`), &got); err != nil || len(got) != 41 {
			t.Fatal(len(got), err)
		}
		err := seal.DecodeStrict(fmt.Appendf(nil, `{%s"k%d":0}`, doc.String(), first), &got)
		if !errors.Is(err, seal.ErrNotStrict) || !strings.Contains(err.Error(), fmt.Sprintf(`"k%d" occurs twice`, first)) {
			t.Errorf("k%d: %v", first, err)
		}
	}
}

func TestALongPathCostsNoMoreThanTheDocument(t *testing.T) {
	data := []byte(fmt.Sprintf(`{"%s":[%s0]}`, strings.Repeat("k", seal.MaxSize/2-10), strings.Repeat("0,", seal.MaxSize/4-10)))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var got map[string][]int
	if err := seal.DecodeStrict(data, &got); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 100*seal.MaxSize {
		t.Errorf("allocated %d MiB for a document of one", n>>20)
	}
}

func FuzzDecodeStrict(f *testing.F) {
	for _, seed := range []string{
		`{"name":"a","limits":{"days":7},"list":[{"days":1}],"by":{"a":{}},"raw":[{}],"key":[1,2,3]}`,
		`{"Name":"a"}`, `{"name":"a","name":"b"}`, `{"name":"\ud83d\ude00"}`, `{"name":"\ud800"}`, `null`, `{}{}`, `[`, `{"any":[[[{}]]]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got document
		if seal.DecodeStrict(data, &got) != nil {
			if !reflect.DeepEqual(got, document{}) {
				t.Fatalf("a refused document left %+v", got)
			}
			return
		}
		var want document
		if err := json.Unmarshal(data, &want); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("encoding/json differs: %+v, %v", want, err)
		}
		// What was accepted has one spelling of its keys: written and read
		// once more, it is the same document.
		again, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var twice document
		if err := json.Unmarshal(again, &twice); err != nil {
			t.Fatalf("not stable: %v", err)
		}
		if !accountsForKeys(t, data) {
			t.Fatalf("a key of %s went unnoticed", data)
		}
	})
}

// accountsForKeys checks by another road than the walker that every top-level
// key is one that document knows.
func accountsForKeys(t *testing.T, data []byte) bool {
	var top map[string]json.RawMessage
	if err := json.Unmarshal(data, &top); err != nil {
		t.Fatal(err)
	}
	for key := range top {
		if !strings.Contains(" version name Plain - limits maybe list by raw any key blob by_id ", " "+key+" ") {
			return false
		}
	}
	return true
}
