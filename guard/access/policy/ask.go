package policy

import (
	"net/netip"
	"time"

	"github.com/cedar-policy/cedar-go"
)

// Somebody is a principal; nil stands for nobody.
type Somebody struct {
	ID, Name, Email, Issuer, Tenant string
	Roles, Scopes, Methods          []string
	Token                           bool
}

// Ask is a request in the words of the house.
type Ask struct {
	Who    *Somebody
	Method string
	Secure bool
	Client netip.Addr
	Path   map[string]string
	// Age is how long ago the sign-in was; below 0: not known.
	Age time.Duration
}

// scene knows the entities of one request. The principal is made when a policy
// asks for it.
type scene struct {
	*Node
	ask       *Ask
	principal cedar.EntityUID
	entity    *cedar.Entity
}

// Get implements cedar.EntityGetter.
func (s *scene) Get(uid cedar.EntityUID) (cedar.Entity, bool) {
	if uid != s.principal {
		return s.Node.Get(uid)
	}
	if s.ask.Who == nil {
		return cedar.Entity{UID: uid}, true
	}
	if s.entity == nil {
		s.entity = s.ask.Who.entity(uid)
	}
	return *s.entity, true
}

func (w *Somebody) entity(uid cedar.EntityUID) *cedar.Entity {
	attributes := cedar.RecordMap{
		"id": cedar.String(w.ID), "issuer": cedar.String(w.Issuer), "token": cedar.Boolean(w.Token),
		"roles": texts(w.Roles), "scopes": texts(w.Scopes), "amr": texts(w.Methods),
	}
	for key, value := range map[cedar.String]string{"email": w.Email, "tenant": w.Tenant, "name": w.Name} {
		if value != "" {
			attributes[key] = cedar.String(value)
		}
	}
	// A provider lets people choose their names: only an account's is its own.
	if w.Issuer != "" || w.Token {
		delete(attributes, "name")
	}
	roles := make([]cedar.EntityUID, len(w.Roles))
	for i, r := range w.Roles {
		roles[i] = cedar.NewEntityUID(RoleType, cedar.String(r))
	}
	return &cedar.Entity{UID: uid, Parents: cedar.NewEntityUIDSet(roles...), Attributes: cedar.NewRecord(attributes)}
}

func texts(list []string) cedar.Set {
	values := make([]cedar.Value, len(list))
	for i, s := range list {
		values[i] = cedar.String(s)
	}
	return cedar.NewSet(values...)
}

// Query makes what Cedar is asked.
func (n *Node) Query(a *Ask) *Query {
	method := a.Method
	if method == "HEAD" {
		method = "GET"
	}
	s := &scene{Node: n, ask: a, principal: cedar.NewEntityUID(NobodyType, "")}
	q := &Query{Target: n.Target, Action: cedar.NewEntityUID(ActionType, cedar.String(method)), Entities: s}
	q.Principals = append(make([]cedar.EntityUID, 0, 4), s.principal)
	if a.Who != nil {
		s.principal = cedar.NewEntityUID(UserType, cedar.String(a.Who.ID))
		q.Principals[0] = s.principal
		for _, r := range a.Who.Roles {
			q.Principals = append(q.Principals, cedar.NewEntityUID(RoleType, cedar.String(r)))
		}
	}
	group := Write
	if Reads(method) {
		group = Read
	}
	q.Actions = []cedar.EntityUID{q.Action, group}
	q.Context = a.context
	return q
}

func (a *Ask) context() cedar.Record {
	path := make(cedar.RecordMap, len(a.Path))
	for name, value := range a.Path {
		path[cedar.String(name)] = cedar.String(value)
	}
	c := cedar.RecordMap{
		"method": cedar.String(a.Method), "secure": cedar.Boolean(a.Secure), "path": cedar.NewRecord(path),
	}
	if a.Client.IsValid() {
		c["client"] = cedar.IPAddr(netip.PrefixFrom(a.Client, a.Client.BitLen()))
	}
	if a.Age >= 0 {
		c["authAge"] = cedar.Long(a.Age / time.Second)
	}
	return cedar.NewRecord(c)
}
