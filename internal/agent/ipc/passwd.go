package ipc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// PasswdFile is the machine's own user database.
const PasswdFile = "/etc/passwd"

// maxPasswd bounds what is read of it.
const maxPasswd = 16 << 20

// ErrNoAccount: the name is not in the file.
var ErrNoAccount = errors.New("no such account in the file")

// An Account is one line of a passwd file.
type Account struct {
	Name string
	UID  uint32
	GID  uint32
}

// Lookup finds a name in a passwd file; path "" means PasswdFile. It reads the
// file itself and asks no name service: the agent must not depend on the
// directory that it stands in front of. The first line counts, as in the C
// library. It returns ErrNoAccount where the name is not there.
func Lookup(path, name string) (Account, error) {
	if path == "" {
		path = PasswdFile
	}
	f, err := os.Open(path)
	if err != nil {
		return Account{}, fmt.Errorf("looking up account: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxPasswd))
	if err != nil {
		return Account{}, fmt.Errorf("looking up account: %w", err)
	}
	return find(string(data), name)
}

func find(passwd, name string) (Account, error) {
	if name == "" || strings.ContainsAny(name, ":\n") {
		return Account{}, ErrNoAccount
	}
	for line := range strings.Lines(passwd) {
		rest, ok := strings.CutPrefix(line, name+":")
		if !ok {
			continue
		}
		fields := strings.Split(strings.TrimSuffix(rest, "\n"), ":")
		if len(fields) < 3 {
			return Account{}, fmt.Errorf("passwd line of an account has %d fields", len(fields)+1)
		}
		uid, err := strconv.ParseUint(fields[1], 10, 32)
		if err != nil {
			return Account{}, errors.New("passwd line of an account has no uid")
		}
		gid, err := strconv.ParseUint(fields[2], 10, 32)
		if err != nil {
			return Account{}, errors.New("passwd line of an account has no gid")
		}
		return Account{name, uint32(uid), uint32(gid)}, nil
	}
	return Account{}, ErrNoAccount
}
