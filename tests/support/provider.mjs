// An OpenID Connect provider for the tests: the package oidc-provider, which its foundation has certified, with one client
// and people who are whoever they say. `alice` is in the group `soc`, all others are not.
import Provider from 'oidc-provider';

const [port, callback] = process.argv.slice(2);
const claims = (id) => ({ sub: id, preferred_username: id, groups: id === 'alice' ? ['staff', 'soc'] : ['staff'] });
const provider = new Provider(`http://localhost:${port}`, {
  clients: [{
    client_id: 'sortie',
    client_secret: 'the secret of the test & more',
    redirect_uris: [callback],
    grant_types: ['authorization_code'],
    response_types: ['code'],
  }],
  pkce: { required: () => true },
  claims: { openid: ['sub'], profile: ['preferred_username', 'groups'] },
  conformIdTokenClaims: false,
  cookies: { keys: ['a key of the test'] },
  findAccount: (_, id) => ({ accountId: id, claims: async () => claims(id) }),
});
provider.listen(Number(port), '127.0.0.1', () => console.log('listening'));
