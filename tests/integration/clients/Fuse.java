import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;

/** Fuses two files with the HttpClient as it comes, which offers to upgrade to HTTP/2. */
class Fuse {
    private static final String BOUNDARY = "java-boundary";

    public static void main(String[] arguments) throws Exception {
        ByteArrayOutputStream body = new ByteArrayOutputStream();
        add(body, "under", Path.of(arguments[1]));
        add(body, "over", Path.of(arguments[2]));
        body.write(("--" + BOUNDARY + "--\r\n").getBytes());
        HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0]))
            .header("Content-Type", "multipart/form-data; boundary=" + BOUNDARY)
            .POST(BodyPublishers.ofByteArray(body.toByteArray()))
            .build();
        var response = HttpClient.newHttpClient().send(request, BodyHandlers.ofByteArray());
        Files.write(Path.of(arguments[3]), response.body());
        System.out.println(response.statusCode() + " " + response.version());
    }

    private static void add(ByteArrayOutputStream body, String name, Path file) throws IOException {
        String head = "--" + BOUNDARY + "\r\nContent-Disposition: form-data; name=\"" + name
            + "\"; filename=\"" + file.getFileName() + "\"\r\n\r\n";
        body.write(head.getBytes());
        body.write(Files.readAllBytes(file));
        body.write("\r\n".getBytes());
    }
}
