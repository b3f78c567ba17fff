package seal_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"latchkey/internal/seal"
	"latchkey/internal/secret"
)

func wrapper(t testing.TB, b byte) *seal.Wrapper {
	t.Helper()
	w, err := seal.NewWrapper(bytes.Repeat([]byte{b}, seal.MasterKeySize))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestAWrappedSecretUnwrapsInItsRowOnly(t *testing.T) {
	t.Parallel()
	w, plain := wrapper(t, 1), secret.Bytes("12345678901234567890")
	wrapped, err := w.Wrap(rand.Reader, "credentials/7", plain)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(wrapped, plain) {
		t.Fatal("the secret is in plain sight")
	}
	if got, err := w.Unwrap("credentials/7", wrapped); err != nil || !got.Equal(plain) {
		t.Fatalf("%v", err)
	}
	format := slices.Clone(wrapped)
	format[0] = 2
	for name, tc := range map[string]struct {
		w       *seal.Wrapper
		row     string
		wrapped []byte
	}{
		"in the next row":         {w, "credentials/8", wrapped},
		"in another table":        {w, "users/7", wrapped},
		"in a row without id":     {w, "", wrapped},
		"under another key":       {wrapper(t, 2), "credentials/7", wrapped},
		"in another format":       {w, "credentials/7", format},
		"when it is empty":        {w, "credentials/7", nil},
		"when something follows":  {w, "credentials/7", append(slices.Clone(wrapped), 0)},
		"when it is just a nonce": {w, "credentials/7", wrapped[:13]},
	} {
		t.Run(name+" it does not", func(t *testing.T) {
			t.Parallel()
			if got, err := tc.w.Unwrap(tc.row, tc.wrapped); !errors.Is(err, seal.ErrUnwrap) || got != nil {
				t.Errorf("got %d bytes, %v", len(got), err)
			}
		})
	}
	for i := range wrapped {
		altered := slices.Clone(wrapped)
		altered[i] ^= 1
		if _, err := w.Unwrap("credentials/7", altered); !errors.Is(err, seal.ErrUnwrap) {
			t.Errorf("byte %d altered unnoticed: %v", i, err)
		}
		if _, err := w.Unwrap("credentials/7", wrapped[:i]); !errors.Is(err, seal.ErrUnwrap) {
			t.Errorf("cut at %d unnoticed: %v", i, err)
		}
	}
}

func TestEveryWrapTakesAFreshNonceFromItsSource(t *testing.T) {
	t.Parallel()
	w := wrapper(t, 1)
	a, errA := w.Wrap(rand.Reader, "r/1", secret.Bytes("x"))
	b, errB := w.Wrap(rand.Reader, "r/1", secret.Bytes("x"))
	if errA != nil || errB != nil || bytes.Equal(a[1:13], b[1:13]) {
		t.Errorf("%v, %v: nonces %x and %x", errA, errB, a[1:13], b[1:13])
	}
	if _, err := w.Wrap(bytes.NewReader(make([]byte, 11)), "r/1", secret.Bytes("x")); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a source that ends early: %v", err)
	}
	if _, err := w.Wrap(rand.Reader, "", secret.Bytes("x")); err == nil {
		t.Error("wrapped for no row")
	}
}

func TestAMasterKeyHas32Bytes(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 16, 24, 31, 33, 64} {
		if _, err := seal.NewWrapper(make(secret.Bytes, n)); err == nil {
			t.Errorf("%d bytes were taken", n)
		}
	}
}

func TestAnEmptySecretIsWrappedToo(t *testing.T) {
	t.Parallel()
	w := wrapper(t, 1)
	wrapped, err := w.Wrap(rand.Reader, "r/1", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := w.Unwrap("r/1", wrapped); err != nil || len(got) != 0 {
		t.Error(err)
	}
	if s := fmt.Sprintf("%v %+v", w, *w); len(s) > 200 {
		t.Errorf("a wrapper prints its key schedule: %s", s)
	}
}
