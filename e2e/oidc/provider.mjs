// An OpenID provider for the tests: node provider.mjs GATE-ORIGIN [ALGORITHM [PORT]]
//
// It is oidc-provider with its own pages for development (a form that takes
// any name). It prints its issuer when it listens, and ends when its standard
// input does.
import http from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import Provider from 'oidc-provider';

const gate = process.argv[2];
const server = http.createServer();
server.listen(Number(process.argv[4] ?? 0), '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const jwk = (key, kid, alg) => ({ ...key.privateKey.export({ format: 'jwk' }), kid, alg, use: 'sig' });
  const provider = new Provider(issuer, {
    clients: [{
      client_id: 'gate',
      client_secret: 'a secret of at least thirty-two bytes',
      redirect_uris: [`${gate}/.hauberk/oidc/one/callback`],
      post_logout_redirect_uris: [`${gate}/`],
      backchannel_logout_uri: `${gate}/.hauberk/oidc/one/logout`,
      backchannel_logout_session_required: true,
      grant_types: ['authorization_code', 'refresh_token'],
      id_token_signed_response_alg: process.argv[3] ?? 'ES256',
    }],
    jwks: { keys: [
      jwk(generateKeyPairSync('ec', { namedCurve: 'P-256' }), 'ec', 'ES256'),
      jwk(generateKeyPairSync('rsa', { modulusLength: 2048 }), 'rsa', 'RS256'),
      jwk(generateKeyPairSync('ed25519'), 'ed', 'EdDSA'),
    ] },
    enabledJWA: { idTokenSigningAlgValues: ['ES256', 'RS256', 'EdDSA', 'PS256'] },
    // An access token that is over at once lets a test refresh at once.
    ttl: { AccessToken: 1, IdToken: 300, Interaction: 300, Session: 3600, Grant: 3600, RefreshToken: 3600 },
    pkce: { required: () => true },
    rotateRefreshToken: true,
    conformIdTokenClaims: false,
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    features: {
      backchannelLogout: { enabled: true },
      devInteractions: { enabled: true },
      rpInitiatedLogout: { enabled: true },
    },
    // The gate of a test is on this machine, where oidc-provider's own agent
    // does not go.
    fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
    findAccount: (ctx, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@example.com`, email_verified: true, name: id }),
    }),
    cookies: { keys: ['for tests'] },
  });
  for (const fault of ['server_error', 'backchannel.error', 'grant.error', 'authorization.error']) {
    provider.on(fault, (...all) => console.error(fault, all.filter((one) => one instanceof Error)));
  }
  server.on('request', provider.callback());
  console.log(issuer);
});
process.stdin.resume().on('end', () => process.exit());
