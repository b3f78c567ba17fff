package seal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
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
	err := checkStrict(data, p.Type().Elem())
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	if err != nil {
		p.Elem().SetZero() // half a document is no document
		return fmt.Errorf("%w: %w", ErrNotStrict, err)
	}
	return nil
}

func checkStrict(data []byte, t reflect.Type) error {
	switch {
	case len(data) > MaxSize:
		return fmt.Errorf("%d bytes, the most is %d", len(data), MaxSize)
	case !utf8.Valid(data):
		return errors.New("not valid UTF-8")
	case !json.Valid(data): // also finds trailing data; nothing below sees broken syntax
		return errors.New("not one json document")
	case halfSurrogate(data):
		return errors.New("half of a surrogate pair")
	}
	w := walker{json.NewDecoder(bytes.NewReader(data))}
	w.dec.UseNumber()
	return w.value(t, 0)
}

// A walker follows the tokens of a document along the type it is for. Errors
// gather their path on the way out: "policy: offline: days: is null".
type walker struct {
	dec *json.Decoder
}

// value checks the next value against t; nil stands for a type that takes
// anything.
func (w walker) value(t reflect.Type, depth int) error {
	token, err := w.dec.Token()
	if err != nil {
		return err
	}
	t, nullable := target(t)
	switch token {
	case json.Delim('{'):
		return w.object(t, depth+1)
	case json.Delim('['):
		return w.list(t, depth+1)
	case nil:
		if !nullable {
			return errors.New("is null")
		}
	}
	return nil
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

func (w walker) object(t reflect.Type, depth int) error {
	if depth > MaxDepth {
		return fmt.Errorf("nested deeper than %d", MaxDepth)
	}
	seen := map[string]bool{}
	for w.dec.More() {
		token, err := w.dec.Token()
		if err != nil {
			return err
		}
		key, _ := token.(string) // the syntax is valid: before a value stands its key
		if seen[key] {
			return fmt.Errorf("key %.64q occurs twice", key)
		}
		seen[key] = true
		member, err := memberType(t, key)
		if err != nil {
			return err
		}
		if err := w.value(member, depth); err != nil {
			return fmt.Errorf("%.64q: %w", key, err)
		}
	}
	_, err := w.dec.Token() // the closing brace
	return err
}

// memberType returns the type that t has under a key.
func memberType(t reflect.Type, key string) (reflect.Type, error) {
	switch {
	case t == nil:
		return nil, nil
	case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String:
		return t.Elem(), nil
	case t.Kind() != reflect.Struct:
		return nil, fmt.Errorf("no object is decoded into %s", t)
	}
	fields, err := fieldsOf(t)
	if err != nil {
		return nil, err
	}
	member, ok := fields[key]
	if !ok {
		return nil, fmt.Errorf("unknown key %.64q", key)
	}
	return member, nil
}

func (w walker) list(t reflect.Type, depth int) error {
	if depth > MaxDepth {
		return fmt.Errorf("nested deeper than %d", MaxDepth)
	}
	item, err := itemType(t)
	if err != nil {
		return err
	}
	n := 0
	for ; w.dec.More(); n++ {
		if err := w.value(item, depth); err != nil {
			return fmt.Errorf("item %d: %w", n, err)
		}
	}
	if t != nil && t.Kind() == reflect.Array && n != t.Len() {
		return fmt.Errorf("%d items instead of %d", n, t.Len())
	}
	_, err = w.dec.Token() // the closing bracket
	return err
}

func itemType(t reflect.Type) (reflect.Type, error) {
	switch {
	case t == nil:
		return nil, nil
	case t.Kind() == reflect.Slice || t.Kind() == reflect.Array:
		return t.Elem(), nil
	}
	return nil, fmt.Errorf("no list is decoded into %s", t)
}

// halfSurrogate finds escapes of UTF-16 surrogates without their partner, which
// encoding/json replaces in silence. A backslash in valid JSON stands in a
// string and begins an escape.
func halfSurrogate(data []byte) bool {
	for i := 0; i < len(data); i++ {
		if data[i] != '\\' {
			continue
		}
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
