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
	entity    cedar.Entity
	made      bool
	reads     Fields // attributes that some policy names
}

// detail implements Query.Detail.
func (s *scene) detail(reads Fields) { s.made, s.reads = s.made && s.reads == reads, reads }

// Get implements cedar.EntityGetter.
func (s *scene) Get(uid cedar.EntityUID) (cedar.Entity, bool) {
	if uid != s.principal {
		return s.Node.Get(uid)
	}
	if !s.made {
		s.made, s.entity = true, cedar.Entity{UID: uid}
		if w := s.ask.Who; w != nil {
			s.entity.Parents = w.parents()
			s.entity.Attributes = w.attributes(s.reads)
		}
	}
	return s.entity, true
}

func (w *Somebody) parents() cedar.EntityUIDSet {
	roles := make([]cedar.EntityUID, len(w.Roles))
	for i, r := range w.Roles {
		roles[i] = cedar.NewEntityUID(RoleType, cedar.String(r))
	}
	return cedar.NewEntityUIDSet(roles...)
}

// attributes are those that somebody reads: to make them all would cost more
// than the decision.
func (w *Somebody) attributes(reads Fields) cedar.Record {
	var all cedar.RecordMap
	put := func(f Fields, v func() cedar.Value) {
		if reads&f == 0 {
			return
		}
		if all == nil {
			all = cedar.RecordMap{}
		}
		all[f.name()] = v()
	}
	text := func(f Fields, s string, there bool) {
		if there {
			put(f, func() cedar.Value { return cedar.String(s) })
		}
	}
	set := func(f Fields, list []string) { put(f, func() cedar.Value { return texts(list) }) }
	text(fieldID, w.ID, true)
	text(fieldIssuer, w.Issuer, true)
	text(fieldEmail, w.Email, w.Email != "")
	text(fieldTenant, w.Tenant, w.Tenant != "")
	// A provider lets people choose their names: only an account's is its own.
	text(fieldName, w.Name, w.Name != "" && w.Issuer == "" && !w.Token)
	put(fieldToken, func() cedar.Value { return cedar.Boolean(w.Token) })
	set(fieldRoles, w.Roles)
	set(fieldScopes, w.Scopes)
	set(fieldAMR, w.Methods)
	return cedar.NewRecord(all)
}

func texts(list []string) cedar.Set {
	values := make([]cedar.Value, len(list))
	for i, s := range list {
		values[i] = cedar.String(s)
	}
	return cedar.NewSet(values...)
}

// question is all that one query is made of, made at once.
type question struct {
	scene      scene
	query      Query
	principals [4]cedar.EntityUID
	actions    [2]cedar.EntityUID
}

// Query makes what Cedar is asked.
func (n *Node) Query(a *Ask) *Query {
	method := a.Method
	if method == "HEAD" {
		method = "GET"
	}
	all := &question{scene: scene{Node: n, ask: a, principal: cedar.NewEntityUID(NobodyType, "")}}
	s, q := &all.scene, &all.query
	q.Target, q.Action, q.Entities = n.Target, cedar.NewEntityUID(ActionType, cedar.String(method)), s
	q.Principals = append(all.principals[:0], s.principal)
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
	all.actions = [2]cedar.EntityUID{q.Action, group}
	q.Actions = all.actions[:]
	q.Context, q.Detail = a.context, s.detail
	return q
}

func (a *Ask) context(reads Fields) cedar.Record {
	c := cedar.RecordMap{}
	if reads&fieldMethod != 0 {
		c["method"] = cedar.String(a.Method)
	}
	if reads&fieldSecure != 0 {
		c["secure"] = cedar.Boolean(a.Secure)
	}
	if reads&fieldClient != 0 && a.Client.IsValid() {
		c["client"] = cedar.IPAddr(netip.PrefixFrom(a.Client, a.Client.BitLen()))
	}
	if reads&fieldAge != 0 && a.Age >= 0 {
		c["authAge"] = cedar.Long(a.Age / time.Second)
	}
	if reads&fieldPath != 0 {
		path := make(cedar.RecordMap, len(a.Path))
		for name, value := range a.Path {
			path[cedar.String(name)] = cedar.String(value)
		}
		c["path"] = cedar.NewRecord(path)
	}
	return cedar.NewRecord(c)
}
