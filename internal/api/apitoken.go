package api

import (
	"time"

	"latchkey"
)

// APIToken is an administrator's API token as scripts see it.
type APIToken struct {
	ID        string           `json:"id"`
	Admin     string           `json:"admin"`
	Role      latchkey.Role    `json:"role"`
	Label     string           `json:"label"`
	Scopes    []latchkey.Scope `json:"scopes"` // empty: all that the role may
	CreatedAt time.Time        `json:"created_at"`
	ExpiresAt *time.Time       `json:"expires_at"`
}

// CreateAPIToken asks for a token for oneself.
type CreateAPIToken struct {
	Label     string     `json:"label,omitempty"`
	Scopes    []string   `json:"scopes,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

// NewAPIToken is shown once, at creation.
type NewAPIToken struct {
	APIToken
	Token string `json:"token"`
}
