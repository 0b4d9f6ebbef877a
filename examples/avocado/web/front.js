// The first page: from what somebody typed to the page about it.

import { at } from "./parts.js";
import { resourceIn } from "./resource.js";

const GS1 = "https://id.gs1.org";

at("look-up").addEventListener("submit", (event) => {
  event.preventDefault();
  const resource = resourceIn(at("name").value);
  const isLot = resource.startsWith(`${GS1}/01/`);
  location.href = isLot ? resource.slice(GS1.length) : `/trace?resource=${encodeURIComponent(resource)}`;
});
