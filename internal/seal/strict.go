package seal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxDepth is how deep objects and lists may be nested.
const MaxDepth = 32

// ErrNotStrict is what DecodeStrict refuses a document with, under the detail.
var ErrNotStrict = errors.New("json is not strict")

// DecodeStrict decodes one JSON document into v, a pointer, as encoding/json
// does, but refuses every document that two readers could understand
// differently:
//
//   - keys that the struct does not know, or knows in another case;
//   - a key that occurs twice in one object, at any depth;
//   - null for a value that has no null (numbers, text, bools, structs, arrays);
//   - lists longer or shorter than the array they are for;
//   - invalid UTF-8, also by half of a surrogate pair;
//   - anything after the document, nesting beyond MaxDepth, more than MaxSize.
//
// It knows structs (also embedded), maps, lists, pointers, json.RawMessage and
// interfaces. Inside the last two, and inside types with an UnmarshalJSON of
// their own, it can only look for duplicates and limits: decode those parts
// with DecodeStrict again. Fields that the document lacks keep their value, as
// in encoding/json. On an error v is zeroed.
func DecodeStrict(data []byte, v any) error {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return errors.New("decoding json: not into a pointer")
	}
	err := check(data)
	if err == nil {
		err = decode(data, p)
	}
	if err != nil {
		p.Elem().SetZero() // half a document is no document
		return fmt.Errorf("%w: %w", ErrNotStrict, err)
	}
	return nil
}

// check looks at the bytes alone.
func check(data []byte) error {
	switch {
	case len(data) > MaxSize:
		return fmt.Errorf("%d bytes, the most is %d", len(data), MaxSize)
	case !utf8.Valid(data):
		return errors.New("not valid UTF-8")
	}
	return nil
}

// decode has encoding/json look at the syntax first, trailing data too, because
// what follows relies on it. What the walker has to say goes before what
// encoding/json found in a document of valid syntax.
func decode(data []byte, into reflect.Value) error {
	unfit := json.Unmarshal(data, into.Interface())
	if unfit != nil && !json.Valid(data) {
		return errors.New("not one json document")
	}
	if halfSurrogate(data) {
		return errors.New("half of a surrogate pair")
	}
	w := walker{data: data}
	if err := w.value(into.Type().Elem(), 0); err != nil {
		return err
	}
	return unfit
}

// A walker follows the bytes of a document, whose syntax is known to be valid,
// along the type it is for: every login passes here twice, and tokens of
// encoding/json cost four times as much as decoding. Errors gather their path
// on the way out: "policy: offline: days: is null".
type walker struct {
	data []byte
	at   int
}

// value checks the next value against t; nil stands for a type that takes
// anything.
func (w *walker) value(t reflect.Type, depth int) error {
	t, nullable := target(t)
	switch w.peek() {
	case '{':
		return w.object(t, depth+1)
	case '[':
		return w.list(t, depth+1)
	case '"':
		w.text()
		return nil
	case 'n':
		if !nullable {
			return errors.New("is null")
		}
	}
	w.word()
	return nil
}

// peek goes to the next byte that is not white space and returns it.
func (w *walker) peek() byte {
	for {
		switch c := w.data[w.at]; c {
		case ' ', '\t', '\r', '\n':
			w.at++
		default:
			return c
		}
	}
}

// next reports whether another member or item comes before the closing byte,
// and steps over the comma before it or over the closing byte.
func (w *walker) next(closing byte) bool {
	c := w.peek()
	if c == closing || c == ',' {
		w.at++
	}
	return c != closing
}

// text steps over a string and returns it with its quotes.
func (w *walker) text() []byte {
	from := w.at
	for w.at++; w.data[w.at] != '"'; w.at++ {
		if w.data[w.at] == '\\' {
			w.at++ // the escaped byte may be a quote
		}
	}
	w.at++
	return w.data[from:w.at]
}

// word steps over a number, true, false or null.
func (w *walker) word() {
	for w.at < len(w.data) && strings.IndexByte(",]} \t\r\n", w.data[w.at]) < 0 {
		w.at++
	}
}

// target strips the pointers of a type and says whether it takes null. What
// decodes itself or takes anything becomes nil.
func target(t reflect.Type) (of reflect.Type, nullable bool) {
	for t != nil && t.Kind() == reflect.Pointer {
		t, nullable = t.Elem(), true
	}
	if t == nil || t.Kind() == reflect.Interface || decodesItself(t) {
		return nil, true
	}
	return t, nullable || t.Kind() == reflect.Map || t.Kind() == reflect.Slice
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

func decodesItself(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(unmarshaler)
}

func (w *walker) object(t reflect.Type, depth int) error {
	if depth > MaxDepth {
		return fmt.Errorf("nested deeper than %d", MaxDepth)
	}
	var seen keys
	for w.at++; w.next('}'); {
		key, err := w.key()
		if err != nil {
			return err
		}
		if !seen.add(key) {
			return fmt.Errorf("key %.64q occurs twice", key)
		}
		member, err := memberType(t, key)
		if err != nil {
			return err
		}
		if err := w.value(member, depth); err != nil {
			return fmt.Errorf("%.64q: %w", key, err)
		}
	}
	return nil
}

// key steps over a key and its colon. Two spellings of a key are one key.
func (w *walker) key() ([]byte, error) {
	w.peek()
	raw := w.text()
	w.peek()
	w.at++ // the colon
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], nil
	}
	var key string
	err := json.Unmarshal(raw, &key)
	return []byte(key), err
}

// keys are those of one object: a few in most, but a map may have very many.
type keys struct {
	few  [16][]byte
	n    int // of the few
	many map[string]bool
}

// add reports whether the key is new.
func (k *keys) add(key []byte) bool {
	if k.n < len(k.few) {
		for _, f := range k.few[:k.n] {
			if bytes.Equal(f, key) {
				return false
			}
		}
		k.few[k.n] = key
		k.n++
		return true
	}
	if k.many == nil {
		k.many = map[string]bool{}
		for _, f := range k.few {
			k.many[string(f)] = true
		}
	}
	twice := k.many[string(key)]
	k.many[string(key)] = true
	return !twice
}

// memberType returns the type that t has under a key.
func memberType(t reflect.Type, key []byte) (reflect.Type, error) {
	switch {
	case t == nil:
		return nil, nil
	case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String:
		return t.Elem(), nil
	case t.Kind() != reflect.Struct:
		return nil, errors.New("no object belongs here")
	}
	fields, err := fieldsOf(t)
	if err != nil {
		return nil, err
	}
	member, ok := fields[string(key)]
	if !ok {
		return nil, fmt.Errorf("unknown key %.64q", key)
	}
	return member, nil
}

func (w *walker) list(t reflect.Type, depth int) error {
	if depth > MaxDepth {
		return fmt.Errorf("nested deeper than %d", MaxDepth)
	}
	item, err := itemType(t)
	if err != nil {
		return err
	}
	n := 0
	for w.at++; w.next(']'); n++ {
		if err := w.value(item, depth); err != nil {
			return fmt.Errorf("item %d: %w", n, err)
		}
	}
	if t != nil && t.Kind() == reflect.Array && n != t.Len() {
		return fmt.Errorf("%d items instead of %d", n, t.Len())
	}
	return nil
}

func itemType(t reflect.Type) (reflect.Type, error) {
	switch {
	case t == nil:
		return nil, nil
	case t.Kind() == reflect.Slice || t.Kind() == reflect.Array:
		return t.Elem(), nil
	}
	return nil, errors.New("no list belongs here")
}

// halfSurrogate finds escapes of UTF-16 surrogates without their partner, which
// encoding/json replaces in silence. A backslash in valid JSON stands in a
// string and begins an escape.
func halfSurrogate(data []byte) bool {
	for i := 0; i < len(data); i++ {
		next := bytes.IndexByte(data[i:], '\\')
		if next < 0 {
			return false
		}
		i += next
		unit := escaped(data[i:])
		switch {
		case unit >= 0xdc00 && unit < 0xe000:
			return true
		case unit >= 0xd800 && unit < 0xdc00:
			if low := escaped(data[i+6:]); low < 0xdc00 || low >= 0xe000 {
				return true
			}
			i += 6
		}
		i++ // past the escaped character, which may be a backslash
	}
	return false
}

// escaped returns the UTF-16 unit of a \uXXXX at the beginning of data, else 0.
func escaped(data []byte) uint64 {
	if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
		return 0
	}
	unit, err := strconv.ParseUint(string(data[2:6]), 16, 16)
	if err != nil {
		return 0
	}
	return unit
}
