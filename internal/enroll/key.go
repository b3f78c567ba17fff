package enroll

import (
	"fmt"

	"latchkey"
	"latchkey/internal/api"
	"latchkey/internal/otp"
)

// key is the key that a request asks for: from its address, from its secret, or
// new.
func (e *Enroll) key(in api.AddAuthenticator) (otp.Key, error) {
	kind, ok := map[latchkey.Kind]otp.Kind{latchkey.TOTP: otp.TOTP, latchkey.HOTP: otp.HOTP}[in.Kind]
	if !ok {
		return otp.Key{}, latchkey.Errorf(latchkey.Invalid, "only totp and hotp authenticators are added this way")
	}
	k, err := e.read(in, kind)
	if err == nil {
		err = k.Validate()
	}
	if err == nil && in.Label != "" {
		err = otp.Key{Kind: otp.HOTP, Secret: k.Secret, Algorithm: k.Algorithm, Digits: k.Digits, Account: in.Label}.Validate()
	}
	if err != nil {
		return otp.Key{}, latchkey.Errorf(latchkey.Invalid, "%v", err)
	}
	return k, nil
}

func (e *Enroll) read(in api.AddAuthenticator, kind otp.Kind) (otp.Key, error) {
	if in.URI != "" {
		return fromURI(in, kind)
	}
	k := otp.Key{Kind: kind, Algorithm: otp.SHA1, Digits: 6, Counter: in.Counter}
	var err error
	if in.Algorithm != "" {
		if k.Algorithm, err = otp.ParseAlgorithm(in.Algorithm); err != nil {
			return otp.Key{}, err
		}
	}
	if in.Digits != 0 {
		k.Digits = in.Digits
	}
	switch {
	case kind == otp.TOTP && in.Counter != 0:
		return otp.Key{}, fmt.Errorf("a totp authenticator has no counter")
	case kind == otp.HOTP && in.Period != 0:
		return otp.Key{}, fmt.Errorf("a hotp authenticator has no period")
	case kind == otp.TOTP && in.Period == 0:
		k.Period = 30
	case kind == otp.TOTP:
		k.Period = in.Period
	}
	if in.Secret == "" {
		k.Secret, err = otp.NewSecret(e.rand, k.Algorithm)
	} else {
		k.Secret, err = otp.ParseBase32(in.Secret)
	}
	return k, err
}

// fromURI reads an address. What it says is not said a second time beside it:
// two answers to one question would need a rule which of them counts.
func fromURI(in api.AddAuthenticator, kind otp.Kind) (otp.Key, error) {
	if in.Secret != "" || in.Algorithm != "" || in.Digits != 0 || in.Period != 0 || in.Counter != 0 {
		return otp.Key{}, fmt.Errorf("the address says it all: give no secret, algorithm, digits, period or counter beside it")
	}
	k, err := otp.ParseURI(in.URI)
	if err == nil && k.Kind != kind {
		err = fmt.Errorf("the address is of a %s key, not of a %s one", k.Kind, kind)
	}
	if k.Kind == otp.HOTP {
		k.Period = 0
	} else {
		k.Counter = 0
	}
	return k, err
}
