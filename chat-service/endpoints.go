package chatservice

import (
	"parley.chat/internal/eventlog"
	"parley.chat/internal/eventlog/receiptlog"
	"parley.chat/internal/eventlog/unstored"
	"parley.chat/internal/platform/token"

	"parley.chat/chat-service/internal/account"
	"parley.chat/chat-service/internal/avatar"
	"parley.chat/chat-service/internal/channel"
	"parley.chat/chat-service/internal/contact"
	"parley.chat/chat-service/internal/direct"
	"parley.chat/chat-service/internal/group"
	"parley.chat/chat-service/internal/history"
	"parley.chat/chat-service/internal/invitation"
	"parley.chat/chat-service/internal/message"
	"parley.chat/chat-service/internal/ops"
	"parley.chat/chat-service/internal/password"
	"parley.chat/chat-service/internal/receipt"
	"parley.chat/chat-service/internal/revoked"
	"parley.chat/chat-service/internal/seen"
)

// endpoints implements every endpoint of the API document by embedding the services of the
// features. If no feature implements an endpoint, the program does not compile.
type endpoints struct {
	*accounts
	*channels
	*contacts
	*directs
	*groups
	*histories
	*invitations
	*messages
	*operators
	*receipts
}

// These aliases give the Service types distinct names, because embedded fields need distinct names.
type (
	accounts    = account.Service
	channels    = channel.Service
	contacts    = contact.Service
	directs     = direct.Service
	groups      = group.Service
	histories   = history.Service
	invitations = invitation.Service
	messages    = message.Service
	operators   = ops.Service
	receipts    = receipt.Service
)

// pictures returns the component that fetches users' pictures from user-supplied URLs.
func (s *Service) pictures() account.Pictures {
	switch {
	case s.cfg.Pictures != nil:
		return s.cfg.Pictures
	case s.cfg.AvatarFetch:
		return avatar.NewFetcher()
	}
	return avatar.None{}
}

// features creates the services that implement the endpoints and connects them to each other.
func (s *Service) features(log *eventlog.Log, heads *seen.Heads, marks *revoked.Marks) (e endpoints, err error) {
	hasher, err := password.New(password.Config{
		MemoryMiB: s.cfg.Argon2MemoryMiB, Time: s.cfg.Argon2Time, Threads: s.cfg.Argon2Threads,
		Concurrency: s.cfg.HashConcurrency, Queue: s.cfg.HashQueue,
	})
	if err != nil {
		return e, err
	}
	if s.accounts, err = account.New(account.Config{
		API: s.api, DB: s.db, Log: log, Hasher: hasher, Issuer: token.NewIssuer(s.keys, s.cfg.AccessTTL),
		Limits: s.limiter, Revoked: marks, Poke: s.relay.Poke, OpsOpen: s.cfg.OpsFor == opsForEverybody, FirstOperates: s.cfg.OpsFor == opsForFirst, Pictures: s.pictures(),
		RefreshTTL: s.cfg.RefreshTTL, Logger: s.log,
		Leave: []account.Leave{group.LeaveAll, channel.LeaveAll, invitation.EndAll}, NameReservation: s.cfg.NameReservation,
	}); err != nil {
		return e, err
	}
	e.accounts = s.accounts
	positions := receiptlog.New(s.rdb, s.cfg.Partitions)
	if e.channels, err = channel.New(channel.Config{
		DB: s.db, Log: log, Receipts: positions, Limits: s.limiter, Poke: s.relay.Poke, Logger: s.log,
		MaxMemberships: s.cfg.MaxMemberships, AskStrangers: s.cfg.AddUninvited == addKnown,
	}); err != nil {
		return e, err
	}
	if e.histories, err = history.New(history.Config{DB: s.db, Log: log, Poke: s.relay.Poke, Logger: s.log}); err != nil {
		return e, err
	}
	e.receipts = receipt.New(s.db, log, positions, unstored.Rows{DB: s.db}.MaxSeq)
	if e.messages, err = message.New(message.Config{
		DB: s.db, Sender: s.sender, Seen: heads, MaxBytes: s.cfg.MaxBodyBytes, Find: e.receipts.Find,
	}); err != nil {
		return e, err
	}
	if e.operators, err = ops.New(ops.Config{DB: s.db, Targets: s.cfg.MetricsTargets, Open: s.cfg.OpsFor == opsForEverybody}); err != nil {
		return e, err
	}
	e.groups = group.New(s.db, s.relay.Poke, s.cfg.AddUninvited == addKnown)
	e.invitations = invitation.New(invitation.Config{DB: s.db, Poke: s.relay.Poke, Channel: e.channels.Accept, Group: e.groups.Accept})
	e.contacts = contact.New(s.db, s.relay.Poke)
	e.directs = direct.New(s.db, e.channels, s.relay.Poke)
	return e, nil
}
