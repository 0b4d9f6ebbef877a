// An identity provider (npm `oidc-provider`) for tests: whoever says a name is signed in under it, and has the
// address `NAME@example.org`. Nobody has found out that eve's is hers.
//
// provider.mjs REDIRECT_URI: prints one line of JSON when it is ready. E2E_PACKAGES is the folder with this
// folder's packages.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(join(process.env.E2E_PACKAGES, "index.js"));
const { Provider } = await import(pathToFileURL(require.resolve("oidc-provider")));

const server = createServer((request, response) => handle(request, response));
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: [{
    client_id: "counterfoil", client_secret: "a secret of e2e", redirect_uris: [process.argv[2]],
    grant_types: ["authorization_code"], response_types: ["code"],
  }],
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
  cookies: { keys: ["of e2e"] },
  pkce: { required: () => true },
  findAccount: (context, name) => ({
    accountId: name,
    claims: () => ({ sub: name, name, email: `${name}@example.org`, email_verified: name !== "eve" }),
  }),
});
const handle = provider.callback();

console.log(JSON.stringify({ issuer }));
