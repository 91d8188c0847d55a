package gateway

import (
	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/frame"
)

func (c *client) typing(f frame.Client) error {
	return apierr.New(apierr.BadFrame, "this server does not take %s frames yet", f.Type)
}

func (c *client) askPresence(f frame.Client) error {
	return apierr.New(apierr.BadFrame, "this server does not take %s frames yet", f.Type)
}
