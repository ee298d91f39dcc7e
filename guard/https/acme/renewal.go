package acme

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
)

// The authority says when to ask again, if not later than after a day (RFC
// 9773, section 4.3.2). It is not asked more often than certificates are
// looked at.
const (
	latest = 24 * time.Hour
	usual  = 6 * time.Hour
)

// GetRenewalInfo asks the authority when to renew. A certificate that it is
// going to revoke, or has revoked, gets a window in the past: that is how its
// replacement comes about. acmez refuses a window of one second, which the RFC
// allows and which authorities send then, so the question is asked here.
func (i *issuer) GetRenewalInfo(ctx context.Context, c certmagic.Certificate) (acme.RenewalInfo, error) {
	return i.renewal(ctx, c.Leaf)
}

func (i *issuer) renewal(ctx context.Context, leaf *x509.Certificate) (acme.RenewalInfo, error) {
	var info acme.RenewalInfo
	dir, err := i.client.GetDirectory(ctx)
	if err != nil {
		return info, err
	}
	if dir.RenewalInfo == "" {
		return info, acme.ErrUnsupported
	}
	id, err := acme.ARIUniqueIdentifier(leaf)
	if err != nil {
		return info, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, dir.RenewalInfo+"/"+id, nil)
	if err != nil {
		return info, err
	}
	r.Header.Set("User-Agent", "hauberk")
	res, err := i.client.HTTPClient.Do(r)
	if err != nil {
		return info, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return info, fmt.Errorf("renewal information: the authority answered %s", res.Status)
	}
	var sent acme.RenewalInfo
	if err := json.NewDecoder(io.LimitReader(res.Body, 64<<10)).Decode(&sent); err != nil {
		return info, fmt.Errorf("renewal information: %w", err)
	}
	window := sent.SuggestedWindow
	if window.Start.IsZero() || !window.Start.Before(window.End) {
		return info, fmt.Errorf("renewal information: %v to %v is no window", window.Start, window.End)
	}
	info.SuggestedWindow, info.ExplanationURL, info.UniqueIdentifier = window, sent.ExplanationURL, id
	info.SelectedTime = window.Start.Add(rand.N(window.End.Sub(window.Start))).UTC()
	again := time.Now().Add(wait(res.Header.Get("Retry-After")))
	info.RetryAfter = &again
	return info, nil
}

// wait reads Retry-After, in seconds or as a date.
func wait(text string) time.Duration {
	d := usual
	if s, err := strconv.Atoi(text); err == nil && s >= 0 && s < 1<<30 {
		d = time.Duration(s) * time.Second
	} else if t, err := http.ParseTime(text); err == nil {
		d = time.Until(t)
	}
	return min(max(d, 0), latest)
}

// inform fills in what could not be learned when the certificate was issued.
func (i *issuer) inform(ctx context.Context, chain *acme.Certificate) {
	leaf, err := firstCertificate(chain.ChainPEM)
	if err != nil {
		return
	}
	if info, err := i.renewal(ctx, leaf); err == nil {
		chain.RenewalInfo = &info
	}
}
