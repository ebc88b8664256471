// Its styles are elements that it makes itself; the nonce of this answer lets the browser take them.
const { nonce } = document.currentScript;
Redoc.init("/openapi.json", { nonce }, document.getElementById("page"));
